"""Tests of the vault stage."""
