"""Signs a request with botocore's own signer, as of the time that the request states; prints the
signature.
"""

import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

request = json.loads(sys.argv[1])
signer = SigV4Auth(Credentials(request["id"], request["secret"]), "cloudfront", "us-east-1")
made = AWSRequest(request["method"], request["url"], {"X-Amz-Date": request["at"]}, request["body"])
made.context["timestamp"] = request["at"]
text = signer.string_to_sign(made, signer.canonical_request(made))
print(signer.signature(text, made))
