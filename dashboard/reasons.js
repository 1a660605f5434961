// Why a request was not served from the cache, and what one can do about it. The words are those of
// `detail` in Cache-Status (docs/operations.md); a test sees to it that none is missing.

const ORIGIN = "Look at the origin, and at the log's lines origin-failed.";
const TIER = "It passes by itself; the log's lines store-failed and call-failed say more.";
const INCLUDE = "The log's lines fragment-failed name the page and the include.";
const REFUSED = "The request itself is at fault; nothing is to be done where few are.";
const COMPOSED = "See docs/composition.md; the log's lines not-composed say which page.";

// reason: [what it is, what to do]
const REASONS = {
  "": [
    "nothing was stored that could answer",
    "A longer s-maxage keeps pages; warm what nobody asked for yet.",
  ],
  colo: ["another isolate of the colo had fetched it meanwhile", "Nothing: this is a hit."],
  global: ["another colo had fetched it meanwhile", "Nothing: this is a hit."],
  "stale-while-revalidate": [
    "its lifetime was over, and a refresh under way",
    "Nothing: visitors did not wait.",
  ],
  "max-stale": ["the request takes stale pages", "Nothing: visitors did not wait."],

  method: ["the method is none that is cached", "Nothing: such requests change something."],
  "request-body": ["the request has a body", "Nothing: what it says may change the answer."],
  upgrade: ["the connection is to become another, such as a WebSocket", "Nothing."],
  "event-stream": [
    "it is a stream of events",
    "Nothing: a stream has no end that could be stored.",
  ],
  authorization: [
    "the request has credentials",
    "Mark answers that are the same for everyone as public.",
  ],
  precondition: [
    "the request has a condition that only the origin can judge",
    "Nothing where few are.",
  ],
  "path-depth": ["the path has more than 100 segments", REFUSED],
  "personal-path": [
    "it is a visitor's own part of a composed page",
    "Nothing: it is never stored.",
  ],
  "bypass-cookie": [
    "the visitor has a cookie of bypass_cookies",
    "See who sets it: a session for every visitor, or a message never shown, keeps the cache " +
      "empty. Or compose the page.",
  ],
  route: [
    "the settings say that this route passes",
    "Change the route's action, if its pages are the same for everyone.",
  ],
  "request-fields": [
    "the request has a field that no key has",
    "List it in the route's forward_headers or vary_on, if it counts.",
  ],
  "unstorable-so-far": [
    "answers for addresses like it could not be stored",
    "The reasons of their fetches say why.",
  ],
  "vary-not-forwarded": [
    "what is stored varies on a field that does not reach the origin",
    "List the field in the route's vary_on, or take it out of Vary.",
  ],
  "compose-audience": ["the composed page is for visitors without a bypass cookie", COMPOSED],
  "compose-cookie-scope": [
    "the page is outside of its CSRF cookie's Domain or Path",
    "Widen CSRF_COOKIE_PATH or _DOMAIN.",
  ],
  "compose-gate": [
    "the site's own checks did not allow the composed page",
    "Nothing: the site has the last word.",
  ],
  "compose-unreadable": ["what is stored of the composed page can't be read", COMPOSED],
  "compose-random": ["there were no random bytes for the composed page", COMPOSED],
  "compose-raw": [
    "a shell came out of a cache that keeps what says no-store",
    "Take that cache out of the way between edge and origin.",
  ],
  range: [
    "a part was asked for of what is not stored",
    "Warm large files, so that their parts are hits.",
  ],

  expired: [
    "its lifetime was over",
    "Raise s-maxage, or stale-while-revalidate, so that nobody waits.",
  ],
  "no-cache": [
    "the origin wants it validated each time",
    "Take no-cache out of its Cache-Control, if invalidations reach it.",
  ],
  "request-directive": [
    "the request itself wants it validated",
    "Leave request_directives off, so that no visitor can want it.",
  ],
  invalidated: [
    "it had been invalidated, and no window was left",
    "Set stale-while-revalidate, so that nobody waits.",
  ],
  "invalidated-hard": [
    "it had been invalidated, and must not be served again",
    "Invalidate softly where an old page does no harm.",
  ],
  unprovable: ["more was invalidated than the journal keeps apart", "Raise journal_targets."],
  "journal-unreachable": ["the journal was out of reach", TIER],

  "fragment-failed": ["a fragment of the page is missing", INCLUDE],
  "fragment-status": ["a fragment was answered with an error", INCLUDE],
  "fragment-broken": ["a fragment broke off", INCLUDE],
  "fragment-timeout": ["a fragment did not come in time", INCLUDE],
  "fragment-too-large": ["a fragment has more than 1 MiB", INCLUDE],
  "fragment-media-type": ["a fragment is no text", INCLUDE],
  "fragment-charset": ["a fragment is in another charset than the page", INCLUDE],
  "fragment-coding": ["a fragment is compressed", INCLUDE],
  "fragment-composed": ["a fragment is made for one answer", INCLUDE],
  "fragment-private": ["a shared part is private, sets a cookie, or has no lifetime", INCLUDE],
  "fragment-nested": ["a shared part has parts of its own", INCLUDE],
  "fragment-limit": ["the page has more than 32 fragments", INCLUDE],
  "fragment-depth": ["fragments are within fragments four deep", INCLUDE],
  "fragment-loop": ["a fragment is in itself", INCLUDE],
  "src-malformed": ["an include leads nowhere", INCLUDE],
  "src-other-scheme": ["an include leads to another scheme", INCLUDE],
  "src-other-host": ["an include leads to another host", INCLUDE],
  "src-reserved": ["an include leads to the control API", INCLUDE],
  "src-bypass": ["an include leads to a route that passes", INCLUDE],
  "src-too-long": ["an include's address is too long", INCLUDE],
  "esi-malformed": ["an ESI tag can't be read", INCLUDE],
  "esi-unknown": ["an ESI element is not known", INCLUDE],
  "esi-unclosed": ["an ESI element is not closed", INCLUDE],
  "esi-coding": ["a page with ESI is compressed", INCLUDE],

  "key-budget": [
    "too many new addresses of this host were asked for",
    "Name the parameters that count in the route's query, or raise new_keys_per_second.",
  ],
  "l2-too-large": [
    "it is more than the global store takes",
    "Use R2 (docs/configuration.md), or smaller pages.",
  ],
  "l2-lags": [
    "the global store does not show the newest copy yet",
    "Nothing: it does within a minute.",
  ],
  "lease-timeout": ["the index gave no permission in time", TIER],
  "index-unreachable": ["the index was out of reach", TIER],
  "index-failed": ["the index failed", TIER],

  "no-store": [
    "the origin says no-store",
    "Take it out of Cache-Control where the page is the same for everyone.",
  ],
  private: [
    "the origin says private",
    "Take it out of Cache-Control where the page is the same for everyone.",
  ],
  bypass: [
    "the origin says that the edge must not store it",
    "Take the origin's bypass out, if it is the same for everyone.",
  ],
  "set-cookie": [
    "the answer sets a cookie",
    "Set cookies where they are needed only, not on every page.",
  ],
  "vary-any": ["the origin says Vary: *", "Name the fields that count."],
  "no-freshness": [
    "the origin does not say how long it is fresh",
    "Set s-maxage, or the route's ttl.",
  ],
  "compose-field": ["the field of a composed page is not as the origin wrote it", COMPOSED],
  "compose-answer": ["the head is none that a composed page can have", COMPOSED],
  "compose-body": [
    "the placeholders in the composed page are not those that the field states",
    COMPOSED,
  ],
  "media-type": [
    "the page has the name of a file of another kind",
    "Let the origin say public, if it may be kept.",
  ],
  status: ["answers of this status are not stored", "Nothing where they are errors."],
  "partial-content": ["the origin answered with a part", "Nothing."],
  "edge-error": ["the edge answered with an error of its own", ORIGIN],
  cookie: [
    "cookies outside the key reached the origin",
    "List cookies that count in key_cookies, or mark the answer public.",
  ],
  "csp-nonce": [
    "the page has a nonce for one answer",
    "Use hashes in its Content-Security-Policy, or compose the page.",
  ],
  "upstream-cache": [
    "a cache between edge and origin answered",
    "Let that cache step aside for the edge (docs/contract.md).",
  ],
  "field-bytes": ["a field has bytes that are not UTF-8", "Let the origin encode its fields."],
  late: ["it took longer than its lifetime", "Make the page faster, or its lifetime longer."],
  "bad-tags": ["its tags can't be read", "See docs/contract.md for what a tag may have."],
  "too-many-tags": ["it has too many tags", "Use coarser tags for long lists."],
  "request-no-store": ["the request says no-store", "Nothing where few are."],
  "body-too-large": ["it is larger than max_body", "Raise max_body, or let such files pass."],
  "no-room": ["the isolate had no memory left for it", "Raise fill_memory, or lower max_body."],

  "origin-unreachable": ["the origin was out of reach", ORIGIN],
  "origin-timeout": ["the origin took too long", ORIGIN],
  "origin-broken": ["the origin's answer broke off", ORIGIN],
  "origin-error": ["the origin answered with an error", ORIGIN],
  "origin-unreadable": ["the origin answered what can't be read", ORIGIN],
  "upload-timeout": ["the visitor did not send the request in time", REFUSED],
  "visitor-left": ["the visitor left before the origin could be asked", REFUSED],
  "origin-busy": [
    "too many origin requests were under way",
    "Raise origin_concurrency, if the origin has room.",
  ],
  "stale-if-error": ["the origin failed, and a stored page stood in", ORIGIN],
  loop: ["the request came from this worker", "ORIGIN must not be a host that the worker serves."],
  "bad-host": ["the request's host can't be read", REFUSED],
  "bad-uri": ["the request's address can't be read", REFUSED],
  "uri-too-long": ["the request's address is too long", REFUSED],
  "fields-too-large": ["the request's fields are too large", REFUSED],
  "only-if-cached": ["the request takes nothing but what is stored", "Nothing: it asked for this."],
  control: ["it is a call of the control API", "Nothing: such calls are not cached."],
  "(others)": ["more reasons than are kept apart", "Nothing: the others of this list say more."],
};

const AGAIN = "hit-for-pass-";

/** What a reason means, and what to do. One that this page does not know is shown by its name. */
export function explained(reason, result) {
  if (result === "collapsed") {
    return ["they shared a fetch that was under way", "Nothing: the origin was asked once."];
  }
  if (reason.startsWith(AGAIN)) {
    const [what, todo] = explained(reason.slice(AGAIN.length), result);
    return [`the last answer could not be stored: ${what}`, todo];
  }
  if (Object.hasOwn(REASONS, reason)) return REASONS[reason];
  return [`${reason}, a reason that this page does not know`, "See docs/operations.md."];
}

export const known = Object.keys(REASONS);
