"""Why redactions end, markers, and what was destroyed or cut out afterwards."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("reason", "end_cause"):
        op.add_column("redactions", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("redactions", sa.Column("end_actor", sa.Text))
    op.add_column("calls", sa.Column("discard", sa.Text))
    for name in ("cuts", "rewrites"):
        op.add_column("calls", sa.Column(name, sa.Text, nullable=False, server_default="[]"))
    op.add_column("calls", sa.Column("cuts_pending", sa.Boolean, nullable=False, server_default="0"))
    op.create_index("calls_by_pending_cuts", "calls", ["cuts_pending"])
    op.create_table(
        "markers",
        sa.Column("call_id", sa.String(36), sa.ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("at_units", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text),
    )
