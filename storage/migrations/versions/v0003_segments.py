"""Segments of a call, and calls of one group."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("follows", sa.String(36)))
    for column in (
        sa.Column("segment", sa.Integer, nullable=False, server_default="1"),
        sa.Column("start_units", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("swapped", sa.Boolean, nullable=False, server_default="0"),
    ):
        op.add_column("recordings", column)
