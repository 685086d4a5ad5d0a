"""A payment gateway: somebody else's service, which the reference application asks for money.

It stands for a system that cannot be mended from here. So it knows nothing of Holdfast or the application,
is asked over HTTP only, and fails on demand in the ways that such services do; see `gateway.faults`.

    python -m gateway --port 8420 --journal charges.jsonl

| call | what it does |
|---|---|
| `POST /charges` | takes the money for an order: 201, or 402 if the customer has not enough |
| `POST /refunds` | gives it back: 201, or 409 if nothing of that order is charged |
| `GET /audit` | every call that came, one JSON object a line, in their order |
| `GET /admin/faults` | what goes wrong at present, and how often each kind did so far |
| `PUT /admin/faults` | from now on these go wrong: a list, empty to heal |
"""
