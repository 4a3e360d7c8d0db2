"""Studies: conditions, consents, assignments; events and shown lists say of which assignment they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """From events alone."""
    for name in ("visrec_events", "visrec_shown"):
        op.add_column(name, sa.Column("assignment_id", sa.BigInteger))
        op.create_index(f"ix_{name}_assignment_id", name, ["assignment_id"])
    op.create_table(
        "visrec_studies",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("consent_version", sa.Text, nullable=False),
        sa.Column("consent_text", sa.Text, nullable=False),
        sa.Column("assigned", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_visrec_studies"),
    )
    op.create_table(
        "visrec_conditions",
        sa.Column("study_id", sa.Text, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("explanation", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("study_id", "place", name="pk_visrec_conditions"),
        sa.UniqueConstraint("study_id", "name", name="uq_visrec_conditions_study_id_name"),
        _study("visrec_conditions"),
    )
    op.create_table(
        "visrec_consents",
        sa.Column("study_id", sa.Text, nullable=False),
        sa.Column("participant", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("time", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("study_id", "participant", name="pk_visrec_consents"),
        sa.UniqueConstraint("study_id", "session_id", name="uq_visrec_consents_study_id_session_id"),
        _study("visrec_consents"),
        _session("visrec_consents"),
    )
    op.create_table(
        "visrec_assignments",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("study_id", sa.Text, nullable=False),
        sa.Column("participant", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("place", sa.BigInteger, nullable=False),
        sa.Column("condition", sa.Text, nullable=False),
        sa.Column("time", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_visrec_assignments"),
        sa.UniqueConstraint("study_id", "participant", name="uq_visrec_assignments_study_id_participant"),
        sa.UniqueConstraint("study_id", "place", name="uq_visrec_assignments_study_id_place"),
        _study("visrec_assignments"),
        _session("visrec_assignments"),
        sqlite_autoincrement=True,
    )


def _study(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["study_id"], ["visrec_studies.id"], name=f"fk_{table}_study_id", ondelete="CASCADE"
    )


def _session(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["session_id"], ["visrec_sessions.id"], name=f"fk_{table}_session_id", ondelete="CASCADE"
    )
