"""An iPOPO process that a test drives: one JSON object a line on stdin and stdout, logs on stderr.

Requests are ``{"id": n, "command": name, ...}``. Each is answered by ``{"id": n, "result": ...}`` or
``{"id": n, "error": {"class", "text"}}``. In between come events, without id and with the key ``event``:

``endpoint``  what discovery delivers: ``kind`` added, removed or modified, ``endpoint_id``, ``properties``
``rsa``       what Remote Service Admin publishes: ``kind`` such as IMPORT_REGISTRATION, ``endpoint_id``, ``error``
``service``   an imported proxy in the registry: ``kind``, ``service_id``, ``interfaces``, ``endpoint_id``,
              ``properties``
``blocking``  a call of ``Types.block`` has begun: ``seconds``

Discovery delivers from a pool of threads, so its events can overtake each other.
"""

import json
import logging
import os
import sys
import threading
import time
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor

from ipopo_json import from_json, make_host_name_resolvable, to_json

make_host_name_resolvable()

import pelix.framework  # noqa: E402
from pelix.constants import OBJECTCLASS, SERVICE_ID  # noqa: E402
from pelix.internals.events import ServiceEvent  # noqa: E402
from pelix.ipopo.constants import use_ipopo  # noqa: E402
from pelix.rsa import (  # noqa: E402
    ECF_ENDPOINT_CONTAINERID_NAMESPACE,
    ENDPOINT_ID,
    SERVICE_IMPORTED,
    SERVICE_RSA_EVENT_LISTENER,
    RemoteServiceAdmin,
    RemoteServiceAdminEvent,
    RemoteServiceError,
)
from pelix.rsa.providers.discovery import (  # noqa: E402
    SERVICE_ENDPOINT_ADVERTISER,
    SERVICE_ENDPOINT_EVENT_LISTENER,
    EndpointEvent,
    EndpointEventListener,
)
from pelix.rsa.providers.discovery import etcd3  # noqa: E402
from pelix.rsa.topologymanagers.basic import instantiate_basic_topology_manager  # noqa: E402

HELLO_INTERFACE = "org.eclipse.ecf.examples.hello.IHello"
TYPES_INTERFACE = "osgi.remote.test.ITypes"
SOON = 20

BUNDLES = (
    "pelix.ipopo.core",
    "pelix.rsa.remoteserviceadmin",
    "pelix.rsa.topologymanagers.basic",
    "pelix.rsa.providers.discovery.etcd3",
    "pelix.http.basic",
    "pelix.rsa.providers.distribution.xmlrpc",
)


def names_of(constants, *names):
    return {getattr(constants, name): name for name in names}


ENDPOINT_EVENTS = {EndpointEvent.ADDED: "added", EndpointEvent.REMOVED: "removed", EndpointEvent.MODIFIED: "modified"}
SERVICE_EVENTS = {
    ServiceEvent.REGISTERED: "registered",
    ServiceEvent.MODIFIED: "modified",
    ServiceEvent.UNREGISTERING: "unregistering",
    ServiceEvent.MODIFIED_ENDMATCH: "modified_endmatch",
}
RSA_EVENTS = names_of(
    RemoteServiceAdminEvent,
    "IMPORT_REGISTRATION",
    "EXPORT_REGISTRATION",
    "EXPORT_UNREGISTRATION",
    "IMPORT_UNREGISTRATION",
    "IMPORT_ERROR",
    "EXPORT_ERROR",
    "EXPORT_WARNING",
    "IMPORT_WARNING",
    "IMPORT_UPDATE",
    "EXPORT_UPDATE",
)


class Types:
    """More kinds of values, results and faults than the sample has."""

    def __init__(self, wire):
        self._wire = wire

    def echo(self, value):
        return value

    def add(self, a, b):
        return a + b

    def nothing(self):
        return None

    def fail(self, message):
        raise ValueError(message)

    def fault(self, code, text):
        raise xmlrpc.client.Fault(code, text)

    def type_name(self, value):
        """The Python type in which the argument arrived."""
        return type(value).__name__

    def date(self):
        return xmlrpc.client.DateTime("20260131T12:34:56")

    def binary(self):
        return xmlrpc.client.Binary(bytes(range(256)))

    def big_int(self):
        """Beyond the 32 bits that Python's marshaller allows: ends in a fault."""
        return 2**40

    def nested(self):
        return {"list": [1, 2.5, "three", True, None], "struct": {"empty": {}, "none": []}}

    def block(self, seconds):
        self._wire.send({"event": "blocking", "seconds": seconds})
        time.sleep(seconds)
        return seconds


class Wire:
    """The protocol's output; sample code prints to stdout, which therefore goes to stderr."""

    def __init__(self):
        self._lock = threading.Lock()
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, message):
        text = json.dumps(message)
        with self._lock:
            self._out.write(text + "\n")
            self._out.flush()


class Listener(EndpointEventListener):
    """Passes on everything that discovery, Remote Service Admin and the registry say."""

    def __init__(self, wire):
        self._wire = wire

    def endpoint_changed(self, endpoint_event, matched_filter):
        description = endpoint_event.get_endpoint_description()
        self._send(
            "endpoint",
            ENDPOINT_EVENTS[endpoint_event.get_type()],
            endpoint_id=description.get_id(),
            properties=to_json(description.get_properties()),
        )

    def remote_admin_event(self, rsa_event):
        description = rsa_event.get_description()
        self._send(
            "rsa",
            RSA_EVENTS[rsa_event.get_type()],
            endpoint_id=description and description.get_id(),
            error=error_of(rsa_event),
        )

    def service_changed(self, event):
        reference = event.get_service_reference()
        self._send(
            "service",
            SERVICE_EVENTS[event.get_kind()],
            service_id=reference.get_property(SERVICE_ID),
            interfaces=to_json(reference.get_property(OBJECTCLASS)),
            endpoint_id=reference.get_property(ENDPOINT_ID),
            properties=to_json(reference.get_properties()),
        )

    def _send(self, event, kind, **details):
        self._wire.send({"event": event, "kind": kind, **details})


def error_of(carrier):
    """The exception in an RSA event or reference, which is a triple as of sys.exc_info()."""
    exception = carrier.get_exception()
    return None if exception is None else f"{exception[0].__name__}: {exception[1]}"


class Peer:
    """The framework and the commands on it."""

    def __init__(self, wire):
        self._wire = wire
        self._framework = None
        self._context = None
        self._session_id = None
        self._registrations = {}

    def start(
        self,
        etcd_host,
        etcd_port,
        lease_ttl,
        keepalive_interval,
        top_key=None,
        session_id=None,
        hostname="127.0.0.1",
        http_port=0,
        call_timeout=10,
    ):
        """Returns when discovery is connected and watches."""
        self._framework = pelix.framework.create_framework(BUNDLES, {"ecf.xmlrpc.server.hostname": hostname})
        self._framework.start()
        self._context = self._framework.get_bundle_context()
        with use_ipopo(self._context) as ipopo:
            ipopo.instantiate(
                "pelix.http.service.basic.factory",
                "http-server",
                {"pelix.http.address": "127.0.0.1", "pelix.http.port": http_port},
            )
        listener = Listener(self._wire)
        self._context.register_service(
            [SERVICE_ENDPOINT_EVENT_LISTENER, SERVICE_RSA_EVENT_LISTENER],
            listener,
            {EndpointEventListener.ENDPOINT_LISTENER_SCOPE: f"({ECF_ENDPOINT_CONTAINERID_NAMESPACE}=*)"},
        )
        self._context.add_service_listener(listener, f"({SERVICE_IMPORTED}=*)")
        instantiate_basic_topology_manager(self._context)

        connected = threading.Event()
        properties = {
            etcd3.ETCD_HOSTNAME_PROP: etcd_host,
            etcd3.ETCD_PORT_PROP: etcd_port,
            etcd3.ETCD_LEASETTL_PROP: lease_ttl,
            etcd3.ETCD_KEEPALIVEINTERVAL_PROP: keepalive_interval,
            etcd3.ETCD_CALLTIMEOUT_PROP: call_timeout,
            etcd3.ETCD_HOSTIP_PROP: hostname,
            etcd3.ETCD_CONNECTED_CALLBACK_PROP: connected.set,
        }
        if top_key is not None:
            properties[etcd3.ETCD_TOPKEY_PROP] = top_key
        if session_id is not None:
            properties[etcd3.ETCD_SESSIONID_PROP] = session_id
        etcd3.instantiate_etcd3_discovery_provider(self._context, properties)
        if not connected.wait(SOON):
            raise TimeoutError(f"iPOPO's discovery is not connected to {etcd_host}:{etcd_port}")
        return {"session_id": self._discovery()._session_id, "framework": self._framework.get_property("framework.uid")}

    def install(self, bundle="samples.rsa.helloimpl_xmlrpc"):
        """Installs and starts a bundle, by default the sample that exports IHello."""
        installed = self._context.install_bundle(bundle)
        installed.start()
        return {"bundle": installed.get_bundle_id()}

    def uninstall(self, bundle):
        self._context.get_bundle(bundle).uninstall()

    def register(self, service="hello", interfaces=None, properties=None):
        """Registers the sample's HelloImpl, or Types; exported over XML-RPC unless properties say otherwise."""
        if service == "hello":
            from samples.rsa.helloimpl import HelloImpl

            implementation, interface = HelloImpl(), HELLO_INTERFACE
        elif service == "types":
            implementation, interface = Types(self._wire), TYPES_INTERFACE
        else:
            raise ValueError(f"no such service: {service}")
        defaults = {"service.exported.interfaces": "*", "service.exported.configs": "ecf.xmlrpc.server"}
        registration = self._context.register_service(
            interfaces or [interface], implementation, {**defaults, **from_json(properties or {})}
        )
        service_id = registration.get_reference().get_property(SERVICE_ID)
        self._registrations[service_id] = registration
        return {"service_id": service_id}

    def set_properties(self, service_id, properties):
        self._registrations[service_id].set_properties(from_json(properties))

    def unregister(self, service_id):
        self._registrations.pop(service_id).unregister()

    def exports(self):
        return [self._described(reference) for reference in self._admin().get_exported_services()]

    def imports(self):
        # iPOPO's own snapshot fails while another of its threads closes an import.
        deadline = time.monotonic() + SOON
        while True:
            try:
                return [self._described(reference) for reference in self._admin().get_imported_endpoints()]
            except RemoteServiceError as error:
                if "already closed" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def call(self, interface, method, args=(), endpoint_id=None):
        """Calls a method of the imported service, through its proxy in the registry."""
        condition = f"({ENDPOINT_ID}={endpoint_id})" if endpoint_id else f"({SERVICE_IMPORTED}=*)"
        reference = self._context.get_service_reference(interface, condition)
        if reference is None:
            raise LookupError(f"no imported service of {interface} with {condition}")
        service = self._context.get_service(reference)
        try:
            return to_json(getattr(service, method)(*from_json(list(args))))
        finally:
            self._context.unget_service(reference)

    def health(self):
        """Whether discovery still works, which nothing public of iPOPO's tells."""
        discovery = self._discovery()
        watcher = f"etcd3[{discovery._session_id}]"
        keepalive = discovery._keepalive_task
        return {
            "connected": discovery._connected_event.is_set(),
            "watching": any(thread.name == watcher for thread in threading.enumerate()),
            "keeping_alive": keepalive is not None and not keepalive.done(),
            "lease": discovery._lease_id,
            "session_id": discovery._session_id,
            "discovered": {key: value[0] for key, value in dict(discovery._discovered_endpoints).items()},
            "advertised": sorted(discovery.get_advertised_endpoints()),
        }

    def stop(self):
        """Stops the framework, which withdraws its endpoints."""
        if self._framework is not None:
            self._framework.stop()
            self._framework.wait_for_stop(30)
            pelix.framework.FrameworkFactory.delete_framework()
            self._framework = None

    def _described(self, reference):
        description = reference.get_description()
        return {
            "endpoint_id": description and description.get_id(),
            "properties": description and to_json(description.get_properties()),
            "error": error_of(reference),
        }

    def _service(self, specification):
        reference = self._context.get_service_reference(specification)
        if reference is None:
            raise LookupError(f"iPOPO has no service {specification}")
        return self._context.get_service(reference)

    def _admin(self):
        return self._service(RemoteServiceAdmin)

    def _discovery(self):
        return self._service(SERVICE_ENDPOINT_ADVERTISER)


COMMANDS = (
    "start",
    "install",
    "uninstall",
    "register",
    "set_properties",
    "unregister",
    "exports",
    "imports",
    "call",
    "health",
    "stop",
)


def answer(wire, peer, request):
    request = dict(request)
    number = request.pop("id")
    command = request.pop("command")
    try:
        if command not in COMMANDS:
            raise ValueError(f"no such command: {command}")
        wire.send({"id": number, "result": getattr(peer, command)(**request)})
    except Exception as error:  # noqa: BLE001
        # Whatever happened belongs to the test that asked.
        logging.getLogger(__name__).exception("command %s failed", command)
        text = error.faultString if isinstance(error, xmlrpc.client.Fault) else str(error)
        details = {"class": type(error).__name__, "text": text}
        if isinstance(error, xmlrpc.client.Fault):
            details["code"] = error.faultCode
        wire.send({"id": number, "error": details})


def main():
    wire = Wire()
    logging.basicConfig(
        level=os.environ.get("IPOPO_LOG_LEVEL", "INFO").upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s",
    )
    peer = Peer(wire)
    # Calls may take long and may run side by side; all else keeps its order.
    callers = ThreadPoolExecutor(max_workers=64, thread_name_prefix="call")
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "call":
            callers.submit(answer, wire, peer, request)
        else:
            answer(wire, peer, request)
            if request["command"] == "stop":
                os._exit(0)
    # The test is gone, or wants no goodbye. Pool threads of iPOPO must not hold the process up.
    os._exit(1)


if __name__ == "__main__":
    main()
