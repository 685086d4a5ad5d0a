"""The engines `faust` and `faust-exactly-once`: the workload `sequence` on stock faust-streaming.

Written as Faust's user guide has it. Its worker (`holdfast.runtime.faust_process`) imports this module,
which finds in the environment what to do.
"""

from __future__ import annotations

import os
from typing import Any

import faust

from holdfast.chaos.clients.loop.job import Place, Value, named
from holdfast.chaos.clients.loop.orders import (
    FAUST_EXACTLY_ONCE,
    FAUST_TABLE,
    ORDERS_VARIABLE,
    LoopOrders,
)

SESSION_S = 6.0
"""As Holdfast has it: after what silence the group gives a worker's partitions to others."""

_orders = LoopOrders.from_json(os.environ[ORDERS_VARIABLE])
[_input], [_output] = _orders.inputs, _orders.outputs
_handle, _state, _event = named(_orders.handler), named(_orders.state), named(_input.event)

app = faust.App(
    _orders.group,
    broker=";".join(f"kafka://{server}" for server in _orders.servers.split(",")),
    # Who had which partition is told by the client's id.
    broker_client_id=_orders.worker,
    store="memory://",
    datadir=os.environ["HOLDFAST_STATE_DIR"],
    processing_guarantee="exactly_once" if _orders.engine == FAUST_EXACTLY_ONCE else "at_least_once",
    topic_partitions=_orders.partitions,
    topic_replication_factor=_orders.replication,
    topic_disable_leader=True,
    # By default a worker that died keeps its partitions for a minute.
    broker_session_timeout=SESSION_S,
    broker_heartbeat_interval=SESSION_S / 6,
    web_enabled=False,
    worker_redirect_stdouts=False,
)
_inputs = app.topic(_input.topic, key_serializer="raw", value_serializer="json")
_outputs = app.topic(_output.topic, key_serializer="raw", value_serializer="json")
_states = app.Table(FAUST_TABLE, partitions=_orders.partitions)


@app.agent(_inputs)
async def work(stream: Any) -> None:
    """Apply each record to the state of its key, and send what comes of it."""
    async for record in stream.events():
        message = record.message
        key = message.key.decode()
        before = _states.get(key)
        value = Value(None if before is None else _state.model_validate(before))
        place = Place(message.topic, message.partition, message.offset)
        made = _handle(_event.model_validate(record.value), value, place)
        _states[key] = value.now.model_dump()
        await _outputs.send(key=message.key, value=made.model_dump(), timestamp=message.timestamp)
