"""Every setting of the project, by topic; what the environment may set is read here, by ``environment``.

Variables may also stand in a ``.env`` file beside ``manage.py``; the environment wins. A value of the wrong type stops
the process with the variable's name. Durations are seconds and sizes bytes unless the name says otherwise.
``manage.py settings`` lists each variable, in the order of the topics below, with the sentence that stands at its
reading, and prints the README's table.
"""

from ragproject.settings.locations import *  # noqa: F403, I001  the order of the topics is that of the README's table
from ragproject.settings.site import *  # noqa: F403
from ragproject.settings.sources import *  # noqa: F403
from ragproject.settings.model import *  # noqa: F403
from ragproject.settings.indexing import *  # noqa: F403
from ragproject.settings.answering import *  # noqa: F403
from ragproject.settings.workers import *  # noqa: F403
from ragproject.settings.logs import *  # noqa: F403
from ragproject.settings.locations import env

env.seal()
