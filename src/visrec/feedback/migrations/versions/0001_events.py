"""Sessions, events, shown lists."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out, not taken from schema.py: a revision stays what it was.
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_JSON = sa.JSON().with_variant(postgresql.JSONB, "postgresql")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "visrec_sessions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_visrec_sessions"),
    )
    for name, columns in (
        (
            "visrec_events",
            [
                sa.Column("item_id", sa.Text, nullable=False),
                sa.Column("item_is_integer", sa.Boolean, nullable=False),
                sa.Column("kind", sa.Text, nullable=False),
                sa.Column("recommendation_id", sa.Text),
                sa.Column("weight", sa.Double),
                sa.Column("extra", _JSON, nullable=False),
            ],
        ),
        (
            "visrec_shown",
            [sa.Column("items", _JSON, nullable=False), sa.Column("settings", _JSON, nullable=False)],
        ),
    ):
        op.create_table(
            name,
            sa.Column("seq", _NUMBER, autoincrement=True, nullable=False),
            sa.Column("id", sa.Text, nullable=False),
            sa.Column("time", _MOMENT, nullable=False),
            sa.Column("session_id", sa.Text, nullable=False),
            sa.Column("user_id", sa.Text),
            sa.Column("user_is_integer", sa.Boolean),
            sa.Column("model", sa.Text),
            sa.Column("run", sa.Text),
            *columns,
            sa.PrimaryKeyConstraint("seq", name=f"pk_{name}"),
            sa.UniqueConstraint("id", name=f"uq_{name}_id"),
            sa.ForeignKeyConstraint(
                ["session_id"], ["visrec_sessions.id"], name=f"fk_{name}_session_id", ondelete="CASCADE"
            ),
            sqlite_autoincrement=True,
        )
        op.create_index(f"ix_{name}_session_id_seq", name, ["session_id", "seq"])
        op.create_index(f"ix_{name}_time", name, ["time"])
