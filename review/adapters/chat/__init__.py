"""Asking chat models: one client, one dialect a family of servers, limits that hold, errors that say what to do."""

from review.adapters.chat.client import ChatClient
from review.adapters.chat.limits import Budget
from review.adapters.chat.values import Completion, Request

__all__ = ["Budget", "ChatClient", "Completion", "Request"]
