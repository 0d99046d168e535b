"""Conversations with the whole program through real sockets, told as tables."""
