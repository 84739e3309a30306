import json

import numpy as np
from sensor_msgs.msg import Image

from mobile_vla_ros.nodes.wiring.feature_message import feature_message, feature_of
from mobile_vla_ros.nodes.wiring.features import pack_feature


def test_a_feature_survives_its_way_to_a_topic_bit_for_bit() -> None:
    feature = np.random.default_rng(0).normal(size=(1, 2048)).astype(np.float32)
    packed = json.loads(json.dumps(pack_feature(feature)))
    message = feature_message(packed, 1_700_000_000_123_456_789)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1_700_000_000, 123_456_789)
    heard = feature_of(message)
    assert heard is not None
    np.testing.assert_array_equal(heard, feature)


def test_what_is_no_feature_is_none() -> None:
    assert pack_feature(None) is None
    assert feature_of(Image(encoding="rgb8")) is None
    assert feature_of(Image(encoding="32FC1", height=1, width=4)) is None
