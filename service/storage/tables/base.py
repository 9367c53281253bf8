"""What every table is made of: the metadata, and types that both databases know."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Integer, MetaData

# Constraints without a name cannot be altered by a later migration.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only where the key's type is INTEGER exactly.
RowNumber = BigInteger().with_variant(Integer, "sqlite")

# None is SQL's NULL, not JSON's null.
Document = JSON(none_as_null=True)
