from __future__ import annotations

import json
import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from visrec.errors import ConfigError, FeaturesError
from visrec.features.handcrafted.sift import SIFT


def noise(seed: int = 0, size: tuple[int, int] = (90, 70)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def plain(color: str = "white", size: tuple[int, int] = (60, 60)) -> Image.Image:
    return Image.new("RGB", size, color)


def prepared_of(descriptors: np.ndarray, max_keypoints: int = 20) -> np.ndarray:
    """What a preparation would give for these descriptors `(n, 128)`."""
    prepared = np.zeros((1 + max_keypoints, 128), dtype=np.uint8)
    prepared[0, :2] = len(descriptors) % 256, len(descriptors) // 256
    prepared[1 : 1 + len(descriptors)] = descriptors
    return prepared


def drawn(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 128), dtype=np.uint8)


def taught(**options: object) -> SIFT:
    extractor = SIFT(**{"max_keypoints": 20, "words": 3, **options})
    extractor.learn(prepared_of(drawn(20, seed)) for seed in range(10))
    return extractor


def root(descriptor: np.ndarray) -> np.ndarray:
    return np.sqrt(descriptor / descriptor.sum())


def nearest(x: np.ndarray, words: np.ndarray) -> int:
    return min(range(len(words)), key=lambda w: float(((x - words[w]) ** 2).sum()))


def test_a_prepared_picture_has_its_count_and_the_strongest_descriptors():
    import cv2

    image = noise(size=(180, 140))
    few, many = (SIFT(max_keypoints=n).preparation(image) for n in (30, 300))
    assert few.shape == (31, 128)
    assert few.dtype == np.uint8
    assert few[0, 0] == 30
    n = int(many[0, 0]) + 256 * int(many[0, 1])
    sift = cv2.SIFT.create(contrastThreshold=0.03)
    points, descriptors = sift.detectAndCompute(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2GRAY), None)
    assert 30 < n == len(points) < 300
    strengths = [point.response for point in points]
    assert many[1].tolist() == descriptors[int(np.argmax(strengths))].tolist()
    assert not many[1 + n :].any()
    np.testing.assert_array_equal(few[1:], many[1:31])


def test_more_than_255_keypoints_are_counted():
    prepared = SIFT(max_keypoints=400, contrast=0, side=400).preparation(noise(size=(400, 400)))
    assert int(prepared[0, 0]) + 256 * int(prepared[0, 1]) == 400
    assert prepared[1:].any(axis=1).all()


def test_vlad_by_loop():
    extractor = taught()
    words = extractor.state()["words"]
    descriptors = drawn(20, seed=77)[:13]
    blocks = np.zeros((3, 128))
    for descriptor in descriptors:
        x = root(descriptor.astype(np.float64))
        w = nearest(x, words)
        blocks[w] += x - words[w]
    for w in range(3):
        blocks[w] = np.sign(blocks[w]) * np.sqrt(abs(blocks[w]))
        if blocks[w].any():
            blocks[w] /= np.linalg.norm(blocks[w])
    expected = blocks.reshape(-1) / np.linalg.norm(blocks)
    vector = extractor.encode(prepared_of(descriptors)[None])[0]
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, expected, atol=2e-5)


def test_bow_by_loop():
    extractor = taught(encoding="bow", words=5)
    words = extractor.state()["words"]
    descriptors = drawn(20, seed=77)[:13]
    counts = [0] * 5
    for descriptor in descriptors:
        counts[nearest(root(descriptor.astype(np.float64)), words)] += 1
    expected = np.sqrt(np.array(counts) / 13)
    np.testing.assert_allclose(extractor.encode(prepared_of(descriptors)[None])[0], expected, atol=1e-6)


def test_words_are_centres_of_what_they_were_learnt_from():
    bases = [0, 40, 90]  # three kinds of descriptors, bright in different places
    rng = np.random.default_rng(5)

    def kind(which: int, n: int) -> np.ndarray:
        descriptors = rng.integers(0, 4, (n, 128))
        descriptors[:, bases[which] : bases[which] + 30] += 200
        return descriptors.astype(np.uint8)

    pictures = [np.concatenate([kind(which, 6) for which in range(3)]) for _ in range(10)]
    extractor = SIFT(max_keypoints=20, words=3)
    extractor.learn(iter(prepared_of(one) for one in pictures))
    all_ = np.concatenate(pictures)
    roots = np.stack([root(one) for one in all_.astype(np.float64)])
    centres = [roots[np.arange(180) // 6 % 3 == which].mean(axis=0) for which in range(3)]
    found = extractor.state()["words"]
    for centre in centres:
        assert min(np.abs(found - centre).max(axis=1)) < 1e-5


@pytest.mark.parametrize("encoding", ["vlad", "bow"])
def test_a_batch_of_one_is_a_batch_of_many_bit_for_bit(encoding):
    options = {"max_keypoints": 120, "words": 7, "encoding": encoding}
    extractor = SIFT(**options)
    batch = np.stack([extractor.preparation(noise(seed)) for seed in range(9)])
    extractor.learn(iter(batch))
    together = extractor.encode(batch)
    assert together.shape == (9, *extractor.shape)
    assert together.any(axis=1).all()
    alone = np.concatenate([extractor.encode(batch[i : i + 1]) for i in range(9)])
    assert together.tobytes() == alone.tobytes()
    reversed_ = extractor.encode(batch[::-1])[::-1]
    assert together.tobytes() == np.ascontiguousarray(reversed_).tobytes()


def test_learning_again_gives_the_same_bytes_and_another_seed_others():
    one, same, other = taught(), taught(), taught(seed=1)
    assert one.state()["words"].tobytes() == same.state()["words"].tobytes()
    assert one.provenance()["weights_digest"] == same.provenance()["weights_digest"]
    assert one.provenance()["weights_digest"] != other.provenance()["weights_digest"]


def test_state_goes_around():
    extractor, fresh = taught(), SIFT(max_keypoints=20, words=3)
    assert fresh.state() == {}
    assert fresh.provenance()["weights_digest"] is None
    fresh.restore(extractor.state())
    batch = np.stack([prepared_of(drawn(20, 5)), prepared_of(drawn(3, 6))])
    assert fresh.encode(batch).tobytes() == extractor.encode(batch).tobytes()
    assert fresh.provenance() == extractor.provenance()
    json.dumps(fresh.provenance())
    words = fresh.state()["words"]
    assert words.dtype == np.float32
    assert words.shape == (3, 128)


@pytest.mark.parametrize(
    "state",
    [
        {"codebook": np.zeros((3, 128), np.float32)},
        {"words": np.zeros((4, 128), np.float32)},
        {"words": np.zeros((3, 64), np.float32)},
        {"words": np.zeros((0, 128), np.float32)},
    ],
)
def test_a_state_of_something_else_is_refused(state):
    with pytest.raises(FeaturesError, match="expected words of shape"):
        SIFT(words=3).restore(state)


def test_encoding_before_learning_says_what_to_do():
    with pytest.raises(FeaturesError, match="call `learn`"):
        SIFT(max_keypoints=20).encode(prepared_of(drawn(2, 0))[None])


def test_a_catalogue_without_any_keypoint_cannot_be_learnt():
    for sample in ([], [SIFT().preparation(plain())] * 3):
        with pytest.raises(FeaturesError, match="No picture that 'sift' looked at has a keypoint"):
            SIFT().learn(iter(sample))


@pytest.mark.parametrize(("n", "learnt"), [(1, 1), (7, 1), (16, 2), (17, 2), (24, 3), (100, 3)])
def test_few_descriptors_make_fewer_words_and_leave_the_shape(n, learnt):
    descriptors = drawn(n, 0)
    extractor = SIFT(max_keypoints=20, words=3)
    extractor.learn(prepared_of(descriptors[i : i + 20]) for i in range(0, n, 20))
    assert extractor.state()["words"].shape == (learnt, 128)
    vector = extractor.encode(prepared_of(drawn(20, 1))[None])[0]
    assert vector.shape == (3 * 128,)
    assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-5)
    assert not vector[learnt * 128 :].any()


def test_descriptors_that_are_their_word_leave_no_residual():
    same = np.repeat(drawn(1, 0), 20, axis=0)
    extractor = SIFT(max_keypoints=20, words=3)
    extractor.learn(iter([prepared_of(same)]))
    assert not extractor.encode(prepared_of(same)[None]).any()  # not rounding, scaled up to length 1


def test_the_sample_of_descriptors_is_bounded_and_even(monkeypatch):
    from visrec.features.handcrafted import words

    def pictures() -> Iterator[np.ndarray]:
        for picture in range(100):
            yield np.full((10, 128), picture, dtype=np.uint8)

    kept = words.subsample(pictures(), np.random.default_rng(0), most=200)
    assert kept.shape == (200, 128)
    assert (np.diff(kept[:, 0].astype(int)) >= 0).all()  # in their order
    # 200 of 1000: 100 are expected of the first half, with a deviation below sqrt(200) / 2, about 7.
    assert abs(int((kept[:, 0] < 50).sum()) - 100) < 4 * 7
    same = words.subsample(pictures(), np.random.default_rng(0), most=200)
    assert kept.tobytes() == same.tobytes()
    everything = words.subsample(pictures(), np.random.default_rng(0), most=2000)
    assert len(everything) == 1000


def test_a_picture_turned_keeps_its_words():
    y, x = np.mgrid[:200, :160]
    rng = np.random.default_rng(2)
    canvas = np.full((200, 160), 200.0)
    for _ in range(40):
        cy, cx, radius, level = (
            rng.uniform(20, 180),
            rng.uniform(20, 140),
            rng.uniform(4, 14),
            rng.uniform(0, 255),
        )
        canvas[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = level
    image = Image.fromarray(canvas.astype(np.uint8)).convert("RGB")
    turned, other = image.transpose(Image.Transpose.ROTATE_90), noise(size=(160, 200))
    extractor = SIFT(encoding="bow", words=20)
    batch = np.stack([extractor.preparation(one) for one in (image, turned, other)])
    extractor.learn(iter(batch))
    one, two, three = extractor.encode(batch)
    assert one @ two > 0.9  # vectors of length 1
    assert one @ three < 0.7


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 5000), (3, 2), (1200, 300)])
def test_every_picture_can_be_encoded_and_those_without_keypoints_are_zero(size):
    extractor = taught(max_keypoints=20)
    for image in (
        plain("white", size),
        plain("black", size),
        noise(0, size),
        noise(0, size).convert("L").convert("RGB"),
    ):
        prepared = extractor.preparation(image)
        vector = extractor.encode(prepared[None])[0]
        assert vector.shape == extractor.shape
        assert np.isfinite(vector).all()
        assert prepared.tobytes() == extractor.preparation(image).tobytes()
        n = int(prepared[0, 0])
        assert (n > 0) == (size == (1200, 300) and len(image.getcolors(1 << 24) or []) > 1)
        assert np.linalg.norm(vector) == pytest.approx(float(n > 0), rel=1e-5)


def test_shapes_follow_from_the_options():
    assert SIFT().shape == (32 * 128,)
    assert SIFT(words=10).shape == (1280,)
    assert SIFT(encoding="bow").shape == (1024,)
    assert SIFT(encoding="bow", words=10).shape == (10,)


def test_the_preparation_travels_to_a_worker():
    preparation = SIFT(max_keypoints=50).preparation
    again = pickle.loads(pickle.dumps(preparation))
    assert again(noise()).tobytes() == preparation(noise()).tobytes()
    assert type(preparation)(**preparation.model_dump())(noise()).tobytes() == preparation(noise()).tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "fisher"}, "'encoding' is 'fisher'"),
        ({"words": 0}, "'words' is 0"),
        ({"max_keypoints": 0}, "'max_keypoints' is 0"),
        ({"keypoints": 3}, "unknown setting 'keypoints'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        SIFT(**options)
