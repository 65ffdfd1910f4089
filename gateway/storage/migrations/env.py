"""Run a migration of alembic on the connection of its configuration."""

from __future__ import annotations

from alembic import context

from gateway.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot change most of a table in place: alembic copies it.
    render_as_batch=True,
    # SQLite can do so, too. Alembic assumes the defaults of its driver, which the gateway changes.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
