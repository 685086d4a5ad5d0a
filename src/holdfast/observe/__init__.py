"""What a running application tells about itself to those who watch many.

- `metrics`: the workers of one supervisor in Prometheus's exposition format
"""
