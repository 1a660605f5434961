"""The status page by itself, at the name that django-edge-isr gave it: `edge_isr.admin.urls`."""

from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.urls import path

from .status import status

urlpatterns: list[Any] = [path("status/", staff_member_required(status), name="edge_isr_status")]
