from tests.app.bundles.conftest import publish, services, subjects

__all__ = ["publish", "services", "subjects"]
