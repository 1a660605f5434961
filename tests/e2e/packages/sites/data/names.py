"""What the steps use: the models, and the packages' own functions."""

import reversion
from constance import config
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.utils.translation import override
from djmoney.money import Money
from guardian.shortcuts import assign_perm, remove_perm
from guardian.utils import get_anonymous_user
from import_export.resources import modelresource_factory
from reversion.models import Version
from simple_history.utils import bulk_update_with_history
from tablib import Dataset
from waffle.models import Flag, Sample, Switch

from .models import *  # noqa: F403
