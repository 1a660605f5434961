"""Standard Webhooks signatures, and the secret that the edge shows to the origin."""

import pytest
from conftest import SECRET, aget, is_public
from django.http import HttpResponse

from edge_isr import isr, signing

# The example of the specification's own libraries.
KNOWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KNOWN = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
KNOWN_BODY = b'{"test": 2432232314}'


def test_the_known_signature():
    made = signing.headers([KNOWN_SECRET], KNOWN["webhook-id"], KNOWN_BODY, 1614265330)
    assert made == KNOWN
    assert signing.verify([KNOWN_SECRET], KNOWN, KNOWN_BODY, 1614265330) == KNOWN["webhook-id"]


def test_any_of_several_secrets():
    fields = signing.headers([SECRET, KNOWN_SECRET], "msg_1", b"x")
    for secret in (SECRET, KNOWN_SECRET):
        assert signing.verify([secret], fields, b"x") == "msg_1"
    upper = {name.title(): value for name, value in fields.items()}
    assert signing.verify(["whsec_" + "QUJD" * 10, SECRET], upper, b"x") == "msg_1"


@pytest.mark.parametrize(
    ("change", "body", "now", "message"),
    [
        ({}, b"y", 1614265330, "no secret made the signature"),
        ({"webhook-id": "msg_2"}, KNOWN_BODY, 1614265330, "no secret"),
        ({"webhook-signature": "v1,AAAA v1a,xx"}, KNOWN_BODY, 1614265330, "no secret"),
        ({"webhook-signature": ""}, KNOWN_BODY, 1614265330, "no secret"),
        ({"webhook-id": ""}, KNOWN_BODY, 1614265330, "webhook-id is missing"),
        ({"webhook-timestamp": "soon"}, KNOWN_BODY, 1614265330, "not a number"),
        ({}, KNOWN_BODY, 1614265330 + 301, "out of tolerance"),
        ({}, KNOWN_BODY, 1614265330 - 301, "out of tolerance"),
    ],
)
def test_what_is_not_ours(change, body, now, message):
    with pytest.raises(signing.InvalidSignature, match=message):
        signing.verify([KNOWN_SECRET], {**KNOWN, **change}, body, now)


class TestOriginSecret:
    HEADER = "X-Edge-ISR-Origin-Auth"

    @pytest.fixture(autouse=True)
    def _secrets(self, edge):
        edge(ORIGIN_SECRET=["old-secret-of-the-edge", "new-secret-of-the-edge"],
             ORIGIN_SECRET_EXEMPT=["^/page/7/$"])  # fmt: skip

    def view(self):
        return isr(lambda request, pk=0: HttpResponse("page"))

    @pytest.mark.parametrize("secret", ["old-secret-of-the-edge", "new-secret-of-the-edge"])
    def test_through_the_edge(self, site, secret):
        response = site(self.view()).get("/page/", headers={self.HEADER: secret})
        assert response.status_code == 200 and is_public(response)

    @pytest.mark.parametrize("secret", ["", "wrong", "old-secret-of-the-edg\u00e9"])
    def test_round_the_edge(self, site, secret):
        response = site(self.view()).get("/page/", headers={self.HEADER: secret} if secret else {})
        assert response.status_code == 403
        assert response["Cache-Control"] == "private, no-store"

    def test_exempt_paths(self, site):
        assert site(self.view()).get("/page/7/").status_code == 200

    def test_by_asgi(self, async_site):
        client = async_site(self.view())
        assert aget(client, "/page/").status_code == 403
        secret = {self.HEADER: "new-secret-of-the-edge"}
        assert aget(client, "/page/", headers=secret).status_code == 200

    def test_without_a_secret_everyone_may(self, site, edge):
        edge(ORIGIN_SECRET=[])
        assert site(self.view()).get("/page/").status_code == 200
