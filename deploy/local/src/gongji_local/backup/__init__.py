"""Backup of the embedded PostgreSQL (base backups and archived WAL), and restoring its databases to points in time."""
