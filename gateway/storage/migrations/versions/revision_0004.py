"""Every record belongs to a tenant; those from before belong to the tenant ``default``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TABLES = ("sessions", "segments", "steps", "shared_steps", "requests", "turns")


def upgrade() -> None:
    """Make it."""
    for table in _TABLES:
        op.add_column(table, _tenant())
    for old, new in (
        ("owner_ended_used", ["owner", "ended", "used"]),
        ("image_digest_ended", ["image_digest", "ended"]),
    ):
        op.drop_index(f"ix_sessions_{old}", table_name="sessions")
        op.create_index(f"ix_sessions_tenant_{old}", "sessions", ["tenant", *new], unique=False)
    op.drop_index("ix_images_owner", table_name="images")
    with op.batch_alter_table("images") as images:
        images.add_column(_tenant())
        images.drop_constraint("pk_images", type_="primary")
        images.create_primary_key("pk_images", ["tenant", "digest"])
    op.create_index("ix_images_tenant_owner", "images", ["tenant", "owner"], unique=False)


def downgrade() -> None:
    """Undo it: older gateways know no tenants, so only what belongs to the tenant ``default`` stays."""
    op.execute("DELETE FROM shared_steps WHERE tenant <> 'default'")
    op.execute("DELETE FROM sessions WHERE tenant <> 'default'")
    op.execute("DELETE FROM images WHERE tenant <> 'default'")
    op.execute("DELETE FROM steps WHERE tenant <> 'default'")
    op.drop_index("ix_images_tenant_owner", table_name="images")
    with op.batch_alter_table("images") as images:
        images.drop_constraint("pk_images", type_="primary")
        images.create_primary_key("pk_images", ["digest"])
        images.drop_column("tenant")
    op.create_index("ix_images_owner", "images", ["owner"], unique=False)
    for old, new in (
        ("owner_ended_used", ["owner", "ended", "used"]),
        ("image_digest_ended", ["image_digest", "ended"]),
    ):
        op.drop_index(f"ix_sessions_tenant_{old}", table_name="sessions")
        op.create_index(f"ix_sessions_{old}", "sessions", new, unique=False)
    for table in _TABLES:
        op.drop_column(table, "tenant")


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(length=63), nullable=False, server_default=sa.text("'default'"))
