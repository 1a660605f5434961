"""Purges pages with boto3's CloudFront client, and waits until it is reported as done."""

import json
import sys
import uuid
from urllib.parse import urlsplit

import boto3

edge, pages = sys.argv[1], json.loads(sys.argv[2])
client = boto3.client("cloudfront", endpoint_url=f"{edge}/__isr/cloudfront")
wildcard = urlsplit(pages["wildcard"]).path.rpartition("/")[0] + "/*"
items = [urlsplit(pages["path"]).path, wildcard]
made = client.create_invalidation(
    DistributionId="E2E",
    InvalidationBatch={
        "Paths": {"Quantity": 2, "Items": items},
        "CallerReference": str(uuid.uuid4()),
    },
)
assert made["Invalidation"]["InvalidationBatch"]["Paths"]["Items"] == items, made
waiter = client.get_waiter("invalidation_completed")
known = {"DistributionId": "E2E", "Id": made["Invalidation"]["Id"]}
waiter.wait(**known, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})
seen = client.get_invalidation(**known)["Invalidation"]
assert (seen["Id"], seen["Status"]) == (known["Id"], "Completed"), seen
