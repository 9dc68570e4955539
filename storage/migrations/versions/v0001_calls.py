"""Calls, and what belongs to each."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("sealed_key", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("checkpoint_ns", sa.BigInteger),
    )
    op.create_index("calls_by_start", "calls", ["started_ns", "id"])
    op.create_index("calls_by_state", "calls", ["state", "started_ns", "id"])
    op.create_table(
        "legs",
        _call(),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("codec", sa.String(32), nullable=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("packets", "lost", "late", "duplicated", "media_units")
        ),
    )
    op.create_table(
        "redactions",
        _call(),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("start_units", sa.BigInteger, nullable=False),
        sa.Column("end_units", sa.BigInteger, nullable=False),
        sa.Column("legs", sa.String(64), nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("actor", sa.Text),
    )
    op.create_table(
        "notes",
        _call(),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("call_id", sa.String(36), sa.ForeignKey("calls.id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("segment_id", sa.String(36), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
    )
    op.create_index("recordings_by_call", "recordings", ["call_id"])
    op.create_table(
        "parts",
        sa.Column(
            "recording_id",
            sa.String(36),
            sa.ForeignKey("recordings.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("torn", sa.Boolean, nullable=False),
    )
    op.create_table("lookup", sa.Column("hash", sa.LargeBinary(16), primary_key=True), _call())
    op.create_index("lookup_by_call", "lookup", ["call_id"])


def _call() -> "sa.Column[str]":
    return sa.Column(
        "call_id", sa.String(36), sa.ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True
    )
