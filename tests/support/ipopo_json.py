"""JSON for what XML-RPC and OSGi properties can hold and JSON cannot.

``{"$binary": base64}``, ``{"$date": "20260131T12:00:00"}``, ``{"$int": "decimal text"}`` beyond 64 bits and
``{"$float": "nan"}`` go both ways. Tuples and sets become lists, anything else its ``str``.
"""

import base64
import math
import socket
import xmlrpc.client


def make_host_name_resolvable():
    """To be called before pelix.rsa is imported.

    iPOPO's etcd3 provider looks up the own host name when it is imported, and fails on a machine whose
    name is in no table.
    """
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        socket.gethostname = lambda: "localhost"


def to_json(value):
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else {"$int": str(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, xmlrpc.client.Binary):
        value = value.data
    if isinstance(value, (bytes, bytearray)):
        return {"$binary": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, xmlrpc.client.DateTime):
        return {"$date": value.value}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_json(item) for item in value), key=str)
    return str(value)


def from_json(value):
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1:
            ((tag, text),) = value.items()
            if tag == "$binary":
                return xmlrpc.client.Binary(base64.b64decode(text))
            if tag == "$date":
                return xmlrpc.client.DateTime(text)
            if tag == "$int":
                return int(text)
            if tag == "$float":
                return float(text)
        return {key: from_json(item) for key, item in value.items()}
    return value
