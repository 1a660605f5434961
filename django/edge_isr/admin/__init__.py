"""The admin: the outbox, and the status page behind it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import OutboxMessage
from .status import status


@admin.register(OutboxMessage)
class OutboxMessageAdmin(admin.ModelAdmin):
    """What waits, what was delivered, what was refused; nobody edits it."""

    list_display = ["id", "target", "status", "attempts", "created_at", "due_at", "last_error"]
    list_filter = ["status", "target"]
    actions = ["queue_again"]
    change_list_template = "edge_isr/outbox_list.html"

    def get_urls(self) -> list[Any]:
        """The status page is one of them."""
        view = self.admin_site.admin_view(self.status_view)
        return [path("status/", view, name="edge_isr_status"), *super().get_urls()]

    def status_view(self, request: HttpRequest) -> Any:
        """The status page, with the admin around it."""
        return status(request, self.admin_site.each_context(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows are written by changes."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows are looked at; the list's action needs the permission to change."""
        return obj is None and super().has_change_permission(request, obj)

    @admin.action(description=_("Deliver again"), permissions=["change"])
    def queue_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """For what was refused, once the reason is gone."""
        queryset.exclude(status=OutboxMessage.Status.DELIVERED).update(
            status=OutboxMessage.Status.PENDING, due_at=timezone.now(), claim="", claimed_until=None
        )
