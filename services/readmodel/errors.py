"""What can be wrong with the read model.

ReadModelError
├── NotReadyError         nothing complete to answer from yet, or Redis cannot be reached
├── RecordError           a value in Redis that this software did not write
├── SupersededError       a newer generation answers
└── UnsafeRedisError      Redis is set to evict keys
"""


class ReadModelError(Exception):
    """Anything the read model reports (读模型错误)."""


class NotReadyError(ReadModelError):
    """No complete read model is there to answer from (读模型未就绪); ask again later."""


class RecordError(ReadModelError):
    """A value or member in Redis that cannot be taken apart (读模型数据损坏)."""


class UnsafeRedisError(ReadModelError):
    """Redis may drop keys when it is full (淘汰策略不安全): entities would vanish silently."""


class SupersededError(ReadModelError):
    """A generation that was registered later answers: this one's data is being deleted.

    ``by``: its name.
    """

    def __init__(self, by: str) -> None:
        super().__init__(f"generation {by} answers by now (已被更新的读模型取代)")
        self.by = by
