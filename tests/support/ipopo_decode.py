"""What iPOPO's own etcd3 provider makes of values: one JSON line in, one JSON line out.

In: ``{"key": the etcd key, "value": its value as text}``.
Out: ``{"ok": properties, "id", "session", "timestamp"}`` for an endpoint, ``{"ignored": why}`` for a key at
which iPOPO does not look, ``{"error": "Class: text"}`` for what would end its watcher.
"""

import json
import logging
import sys

from ipopo_json import make_host_name_resolvable, to_json

make_host_name_resolvable()

from pelix.rsa.providers.discovery.etcd3 import Etcd3EndpointDiscovery  # noqa: E402


def decode(provider, key, value):
    # The steps of Etcd3EndpointDiscovery._process_kv and _add_or_modify_endpoint, which cannot run
    # without a connection; each is the provider's own method.
    endpoint_key = provider._create_endpoint_key(key)
    if endpoint_key is None:
        return {"ignored": "the key is not an endpoint's"}
    if not value:
        return {"ignored": "an empty value counts as a removal"}
    description = provider._decode_endpoint_description(value)
    return {
        "ok": to_json(description.get_properties()),
        "id": description.get_id(),
        "session": endpoint_key.sessionid,
        "timestamp": to_json(description.get_timestamp()),
    }


def main():
    logging.basicConfig(stream=sys.stderr)
    provider = Etcd3EndpointDiscovery()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = decode(provider, request["key"], request["value"])
        except Exception as error:  # noqa: BLE001
            # The provider's watch loop ends on any exception, so any is an answer.
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
