"""Randomness is a function of its keys."""

from aunet.data.keyed_randomness import Purpose, generator, transform_seed


def test_equal_keys_give_equal_draws() -> None:
    assert generator(Purpose.PATCH, 1, 2, 3).random() == generator(Purpose.PATCH, 1, 2, 3).random()


def test_each_key_and_purpose_has_a_stream_of_its_own() -> None:
    keys = [
        (Purpose.PATCH, 1, 2, 3),
        (Purpose.PATCH, 1, 3, 2),
        (Purpose.PATCH, 0, 2, 3),
        (Purpose.AUGMENTATION, 1, 2, 3),
    ]
    assert len({generator(*key).random() for key in keys}) == len(keys)


def test_transform_seeds_are_what_monai_takes() -> None:
    seeds = [transform_seed(0, epoch, sample) for epoch in range(10) for sample in range(10)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**32 for seed in seeds)
