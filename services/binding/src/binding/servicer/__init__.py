"""The contract's services: messages in, messages out; everything else is the use cases' business."""

from binding.servicer.applications import ApplicationServicer
from binding.servicer.authorizations import AuthorizationServicer
from binding.servicer.relations import RelationServicer
from binding.servicer.reviews import ReviewServicer

__all__ = ["ApplicationServicer", "AuthorizationServicer", "RelationServicer", "ReviewServicer"]
