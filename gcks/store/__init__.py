"""Durable state behind one small interface; secrets are sealed before they touch a disk."""
