"""The public calls of the SDKs, found by introspection, and a record of what the tests call of them.

Each public method and property of each public client is wrapped, and calls the SDK's own as it is. What counts as a
call is what a test or a handler of a test calls; what the SDK calls of itself does not.
"""

import contextvars
import functools
import inspect

import azure.iot.device
import azure.iot.device.aio
import azure.iot.hub

METHOD = "method"
PROPERTY = "property"

_inside = contextvars.ContextVar("inside a call of the SDK", default=False)


def classes():
    """The public clients and managers, by the names that they are shown with."""
    found = {}
    for module in (azure.iot.device, azure.iot.device.aio, azure.iot.hub):
        for name in module.__all__:
            if inspect.isclass(getattr(module, name)) and name.endswith(("Client", "Manager")):
                found[f"{module.__name__}.{name}"] = getattr(module, name)
    return found


def calls(cls):
    """The public methods and properties of a class with what they are, in the order of their names."""
    found = {}
    for name in sorted(dir(cls)):
        static = inspect.getattr_static(cls, name)
        if not name.startswith("_"):
            found[name] = PROPERTY if isinstance(static, property) else METHOD
    return found


class Record:
    """What was called of the SDKs, by which test, and how it ended."""

    def __init__(self):
        self.test = None
        # By call: the tests in which it returned, and the tests in which it raised, with what.
        self.returned = {}
        self.raised = {}

    def install(self):
        """Wraps all public calls."""
        for class_name, cls in classes().items():
            for name in calls(cls):
                self._wrap(cls, name, f"{class_name}.{name}")

    def _wrap(self, cls, name, shown):
        static = inspect.getattr_static(cls, name)
        if isinstance(static, property):
            parts = (part and self._watched(part, shown) for part in (static.fget, static.fset, static.fdel))
            wrapped = property(*parts, doc=static.__doc__)
        elif isinstance(static, classmethod):
            wrapped = classmethod(self._watched(static.__func__, shown))
        else:
            wrapped = self._watched(static, shown)
        setattr(cls, name, wrapped)

    def _watched(self, function, shown):
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watched(*args, **kwargs):
                with self._watch(shown):
                    return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def watched(*args, **kwargs):
                with self._watch(shown):
                    answer = function(*args, **kwargs)
                # Some asynchronous calls are ordinary functions that answer a coroutine.
                return self._awaited(answer, shown) if inspect.iscoroutine(answer) else answer

        return watched

    async def _awaited(self, coroutine, shown):
        with self._watch(shown):
            return await coroutine

    def _watch(self, shown):
        return _Watch(self, shown)

    def ended(self, shown, error):
        """Notes how a call ended. Called from all threads; each step is one operation of a dictionary or a set."""
        if self.test is None:
            return
        if error is None:
            self.returned.setdefault(shown, set()).add(self.test)
        elif isinstance(error, Exception):
            self.raised.setdefault(shown, {}).setdefault(self.test, []).append(error)


class _Watch:
    """One call that is going on."""

    def __init__(self, record, shown):
        self._record = record
        self._shown = shown

    def __enter__(self):
        self._outermost = not _inside.get()
        self._token = _inside.set(True)

    def __exit__(self, _, error, __):
        _inside.reset(self._token)
        if self._outermost:
            self._record.ended(self._shown, error)
