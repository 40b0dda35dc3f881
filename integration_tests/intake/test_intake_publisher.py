"""The real publisher owes what the log in memory imitates."""

from kafka import KafkaConsumer, TopicPartition

from services.contracts import topics
from services.intake.publisher import KafkaPublisher, PublisherSettings
from services.intake.testing import check_publisher


async def test_kafka_publisher_passes_what_the_imitation_passes(broker: str) -> None:
    """One conformance check for both."""
    topic = topics.name("inspections.v1")
    consumer = KafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, number) for number in range(topics.PARTITIONS)])
    found: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    async def read_back(partition: int, offset: int) -> tuple[bytes, bytes]:
        if not found:
            consumer.seek_to_beginning()
        while (partition, offset) not in found:
            for records in consumer.poll(timeout_ms=1_000).values():
                found.update(
                    {(each.partition, each.offset): (each.key, each.value) for each in records}
                )
        return found[partition, offset]

    publisher = await KafkaPublisher.start(broker, topic, PublisherSettings())
    try:
        await check_publisher(publisher.publish, read_back)
    finally:
        await publisher.close(5)
        consumer.close()
