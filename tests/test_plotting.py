import io
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from nst_keras import plotting, transfer_style
from nst_keras._tensorflow import keras


def grey(value, height=4, width=6):
    return np.full((1, height, width, 3), value, np.float32)


def test_images_are_drawn_side_by_side_with_their_titles():
    figure = plotting.plot_images({"content": grey(0.2), "style": grey(0.8)})
    assert [ax.get_title() for ax in figure.axes] == ["content", "style"]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), np.full((4, 6, 3), 204))


def test_images_are_drawn_on_given_axes():
    figure, axes = plt.subplots(1, 2)
    assert plotting.plot_images([grey(0), grey(1)], ["a", "b"], axes=axes) is figure
    with pytest.raises(ValueError, match="1 images but 2 axes"):
        plotting.plot_images([grey(0)], axes=axes)
    with pytest.raises(ValueError, match="1 images but 2 titles"):
        plotting.plot_images([grey(0)], ["a", "b"])


def test_feature_maps_show_the_channels_asked_for():
    features = np.random.default_rng(0).random((1, 4, 6, 20))
    figure = plotting.plot_feature_maps(features, channels=[19, 3])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), features[0, ..., 19])
    assert figure.axes[1].get_title() == "channel 3"
    assert len(plotting.plot_feature_maps(features, channels=range(10)).axes) == 12
    given, axes = plt.subplots(1, 2)
    assert plotting.plot_feature_maps(features, channels=[19, 3], axes=axes) is given
    np.testing.assert_array_equal(axes[1].images[0].get_array(), features[0, ..., 3])
    with pytest.raises(ValueError, match=r"0 to 19, not \[20\]"):
        plotting.plot_feature_maps(features, channels=[3, 20])


def test_feature_maps_stand_beside_their_image():
    features = np.random.default_rng(0).random((1, 4, 6, 20))
    figure = plotting.plot_feature_maps(features, channels=[19, 3], image=grey(0.2))
    assert [ax.get_title() for ax in figure.axes] == ["image", "channel 19", "channel 3"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), np.full((4, 6, 3), 51))
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), features[0, ..., 3])
    with pytest.raises(ValueError, match="3 panels but 2 axes"):
        plotting.plot_feature_maps(features, [19, 3], image=grey(0.2), axes=plt.subplots(1, 2)[1])


def test_a_table_with_negative_entries_is_coloured_symmetrically_about_zero():
    picture = plotting.plot_gram_matrix([[1.0, -0.4], [-0.4, 1.0]]).axes[0].images[0]
    assert picture.get_clim() == (-1, 1)
    np.testing.assert_allclose(picture.cmap(picture.norm(0.0))[:3], 0.965, atol=0.01)  # nearly white
    red, _, blue, _ = picture.cmap(picture.norm(-0.4))
    assert blue > red
    assert plotting.plot_gram_matrix([[9.0, 3.0], [3.0, 4.0]]).axes[0].images[0].get_clim() == (3, 9)


def colours(figure):
    """All colours of a drawing, of lines, arrows and frames."""
    ax = figure.axes[0]
    edges = [patch.get_edgecolor() for patch in ax.patches] + [line.get_color() for line in ax.lines]
    return {matplotlib.colors.to_hex(edge) for edge in edges}


def test_the_overview_lights_the_part_asked_for():
    figure, ax = plt.subplots()
    assert plotting.plot_overview(ax=ax) is figure
    palette = {plotting.CONTENT.lower(), plotting.STYLE.lower(), plotting.GENERATED.lower(), plotting.NETWORK.lower()}
    assert palette <= colours(figure)
    assert plotting.UNLIT.lower() not in colours(figure)
    words = {text.get_text().split("\n")[0] for text in ax.texts}
    assert {"VGG16", "content loss", "style loss", "total loss", "$F$", "$P$", "$G$", "$A$"} <= words
    assert [image.get_alpha() for image in ax.images] == [1, 1, 1]

    content = plotting.plot_overview("content")
    assert {plotting.CONTENT.lower(), plotting.UNLIT.lower()} <= colours(content)
    assert plotting.STYLE.lower() not in colours(content)
    assert [image.get_alpha() for image in content.axes[0].images] == [1, 1, 0.3]  # S isn't needed for it


@pytest.mark.parametrize("lit", plotting.OVERVIEW)
def test_every_part_of_the_overview_differs_from_the_others(lit):
    def drawn(lit):
        ax = plotting.plot_overview(lit).axes[0]
        return [text.get_color() for text in ax.texts] + [line.get_color() for line in ax.lines]

    assert all(drawn(lit) != drawn(other) for other in [None, *plotting.OVERVIEW] if other != lit)


def test_the_overview_names_its_parts_where_one_does_not_exist():
    with pytest.raises(ValueError, match="gram, content, style, total, gradient, not 'loss'"):
        plotting.plot_overview("loss")


def test_gram_matrix_is_written_in_where_it_is_small():
    figure, ax = plt.subplots()
    assert plotting.plot_gram_matrix([[9.0, 3.0], [3.0, 4.0]], ax=ax, labels=["stripes", "eye"]) is figure
    assert [text.get_text() for text in ax.texts] == ["9", "3", "3", "4"]
    assert not plotting.plot_gram_matrix(np.eye(64)).axes[0].texts
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        plotting.plot_gram_matrix(np.ones((2, 3)))


def test_losses_are_drawn_over_all_steps(content, style, vgg16):
    _, history = transfer_style(content, style, size=64, steps=4, verbose=0, vgg16=vgg16)
    figure, ax = plt.subplots()
    assert plotting.plot_losses(history, ax=ax) is figure
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), history.history["total_loss"])
    assert len(ax.lines) == 3
    with pytest.raises(ValueError, match="no steps yet"):
        plotting.plot_losses(keras.callbacks.History())


def test_a_dotted_line_marks_every_change_of_size():
    history = keras.callbacks.History()
    losses = {f"{name}_loss": [5.0, 4.0, 3.0, 2.0, 1.0] for name in ("total", "content", "style")}
    history.history, history.epoch = losses | {"size": [64, 64, 91, 91, 128]}, [1, 2, 3, 4, 5]
    dotted = plotting.plot_losses(history).axes[0].lines[3:]
    assert [list(line.get_xdata()) for line in dotted] == [[2.5, 2.5], [4.5, 4.5]]
    assert {line.get_linestyle() for line in dotted} == {":"}


def test_a_run_that_goes_on_is_drawn_where_it_goes_on():
    history = keras.callbacks.History()
    losses = {f"{name}_loss": [5.0, 4.0, 3.0] for name in ("total", "content", "style")}
    history.history, history.epoch = losses | {"size": [64, 64, 91]}, [26, 27, 41]
    curve, *_, dotted = plotting.plot_losses(history).axes[0].lines
    assert list(curve.get_xdata()) == [26, 27, 41]
    assert list(dotted.get_xdata()) == [40.5, 40.5]


def test_animation_has_every_picture_and_enlarges_small_ones(tmp_path):
    path = tmp_path / "film.gif"
    figure = plotting.save_animation(path, [grey(0.0, 20, 30), grey(0.5, 40, 60), grey(1.0, 40, 60)], seconds=3)
    assert len(figure.axes) == 1
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (3, (60, 40), 1000)
        for frame, value in enumerate((0, 128, 255)):
            film.seek(frame)
            np.testing.assert_allclose(np.asarray(film.convert("RGB")), value, atol=3)
    assert list(tmp_path.iterdir()) == [path]


def test_animation_on_given_axes_keeps_what_else_is_drawn_there(tmp_path):
    figure, (left, right) = plt.subplots(1, 2, figsize=(4, 2), dpi=50)
    left.plot([1, 2])
    assert plotting.save_animation(tmp_path / "film.gif", [grey(0.0), grey(1.0)], ax=right) is figure
    assert len(left.lines) == len(right.images) == 1
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.n_frames, film.size) == (2, (200, 100))


def test_live_image_is_shown_once_and_then_replaced(monkeypatch):
    shown, updates = [], []

    def display(picture, display_id):
        shown.append(picture)
        return SimpleNamespace(update=updates.append)

    monkeypatch.setattr("IPython.display.display", display)
    callback = plotting.LiveImage("A pagoda, painted.", width=123)
    for step, value in enumerate((0.0, 0.5, 1.0), start=1):
        callback(step, {}, grey(value))
    assert (len(shown), len(updates)) == (1, 2)
    for picture, value in zip(shown + updates, (0, 128, 255), strict=True):
        assert (picture.alt, picture.width) == ("A pagoda, painted.", 123)
        with Image.open(io.BytesIO(picture.data)) as decoded:
            np.testing.assert_allclose(np.asarray(decoded), value, atol=2)


def test_animation_is_refused_where_it_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"a \.gif file"):
        plotting.save_animation(tmp_path / "film.png", [grey(0)])
    with pytest.raises(ValueError, match="no images"):
        plotting.save_animation(tmp_path / "film.gif", [])
