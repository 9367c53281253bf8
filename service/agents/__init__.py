"""Dispatch of agents: programs that are asked to join a room."""
