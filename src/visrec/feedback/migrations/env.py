"""What Alembic runs: it takes the connection of `migrating.py`, within its transaction."""

from __future__ import annotations

from alembic import context

from visrec.feedback.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # of SQLite too, since connections.py opens its transactions itself
)
context.run_migrations()
