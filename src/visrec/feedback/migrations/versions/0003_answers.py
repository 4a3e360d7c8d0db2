"""Answers to the questions at the end of a study; whoever has a row is done with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From studies without questions."""
    op.create_table(
        "visrec_answers",
        sa.Column("assignment_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answers", sa.JSON().with_variant(postgresql.JSONB, "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("assignment_id", name="pk_visrec_answers"),
        sa.ForeignKeyConstraint(
            ["assignment_id"],
            ["visrec_assignments.id"],
            name="fk_visrec_answers_assignment_id",
            ondelete="CASCADE",
        ),
    )
