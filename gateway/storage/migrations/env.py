"""How alembic runs a step: on the connection that it was given."""

from __future__ import annotations

from alembic import context

from gateway.storage.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite's own tables cannot change in place; alembic then copies them.
    render_as_batch=True,
    # SQLite can, too; alembic thinks otherwise because of its driver's defaults, which the gateway changes.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
