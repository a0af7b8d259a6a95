"""Explaining captured messages: captures and key logs in, RFC terms out; sans-I/O."""
