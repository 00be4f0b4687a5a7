"""What drivers write into the log by themselves."""

import asyncio
import logging

from resourcekit import Attr, Domain, Resource, attribute, create, get
from resourcekit.data_layers import SQL


def test_no_value_reaches_the_log_lines_of_the_async_driver(tmp_path, caplog):
    """At the DEBUG level too, the driver's lines show what it runs and never with which values."""
    vault = Domain("quiet")

    class Secret(Resource, domain=vault, data_layer=SQL(f"sqlite:///{tmp_path}/quiet.db")):
        key: Attr[str] = attribute(primary_key=True)

        keep = create(accept=["key"])

    async def keep_and_read():
        await vault.create_storage.aio()
        await Secret.keep.aio(key="swordfish")
        return await get.aio(Secret, "swordfish")

    with caplog.at_level(logging.DEBUG):
        assert "swordfish" == asyncio.run(keep_and_read()).key

    assert "aiosqlite" in {record.name for record in caplog.records}
    assert "swordfish" not in caplog.text
