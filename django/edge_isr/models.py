"""The outbox: what is to be sent to the edge, written in the transaction of the change itself."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class OutboxMessage(models.Model):
    """One invalidation for one target."""

    class Status(models.TextChoices):
        """Where it stands."""

        PENDING = "pending", _("pending")
        DELIVERED = "delivered", _("delivered")
        # Refused for what it is: sending it again would be refused again.
        DEAD = "dead", _("dead")
        # Delivered, to be done at its time, and taken back since.
        CANCELLED = "cancelled", _("cancelled")

    id = models.BigAutoField(primary_key=True)
    target = models.CharField(max_length=100)
    payload = models.JSONField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")
    # Who delivers it now, and until when that is believed.
    claim = models.CharField(max_length=32, blank=True, default="")
    claimed_until = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    job_id = models.CharField(max_length=256, blank=True, default="")
    # Of an invalidation at a time: when, and under which name it is found again.
    at = models.DateTimeField(null=True, blank=True)
    name = models.CharField(max_length=200, blank=True, default="")
    epoch = models.BigIntegerField(null=True, blank=True)

    class Meta:
        """Found by what is due; whoever may revalidate need not see the outbox."""

        ordering = ["id"]
        indexes = [
            models.Index(fields=["status", "due_at"], name="edge_isr_outbox_due"),
            models.Index(fields=["name", "at"], name="edge_isr_outbox_name"),
        ]
        permissions = [("revalidate", "Can revalidate pages")]
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox messages")

    def __str__(self) -> str:
        return f"{self.target} {self.pk}: {self.status}"


class Result(models.Model):
    """What a query that many pages share has brought: those pages have its tag, which is
    invalidated when the query brings something else. A row is written once and goes with that; so
    what has a key is the same as long as it is there."""

    id = models.BigAutoField(primary_key=True)
    # Of the query, and of what it has brought.
    fingerprint = models.CharField(max_length=40, db_index=True)
    digest = models.CharField(max_length=40)
    # How to ask again (`results.Asked`).
    query = models.TextField()
    # Whatever invalidates one of these may have changed it; a space between them.
    tags = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        """In the order in which they were seen."""

        ordering = ["id"]
        verbose_name = _("compared result")
        verbose_name_plural = _("compared results")

    def __str__(self) -> str:
        return f"{self.fingerprint} {self.digest}"
