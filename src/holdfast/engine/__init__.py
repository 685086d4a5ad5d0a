"""The sans-IO core: handlers, tables, shards and the transaction unit.

It takes records and returns outputs, state changes and positions. It opens no
socket, touches no disk and reads no clock, so the same core runs on brokers, in
a unit test and in a simulation.
"""
