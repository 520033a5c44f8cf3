"""Miniature tables of every benchmark in every form that is read, with real pictures, as their projects write them."""

import base64
import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

COLOURS = ("red", "green", "blue", "white")
LEVELS = ("L1_single", "L2_objects", "L3_2d_spatial", "L4_occ", "L4_pose", "L5_6d_spatial", "L5_collision")


def picture(i=0, side=32):
    stream = io.BytesIO()
    Image.new("RGB", (side, side), COLOURS[i % 4]).save(stream, "PNG" if i % 2 else "JPEG")
    return stream.getvalue()


def encoded(i=0, side=32):
    return base64.b64encode(picture(i, side)).decode()


def tsv(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def embedded(i):
    return {"bytes": picture(i), "path": f"{i}.jpg"}


def files(folder, *names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(i))


def choice_tsv(path, n=4, **more):
    """The picture of odd rows is that of the row before, by reference."""
    tsv(path, [
        {"index": i, "image": encoded(i) if i % 2 == 0 else str(i - 1), "question": f"Which? {i}",
         "hint": "Look." if i else "", "A": "cup", "B": "plate", "C": "spoon", "D": "" if i else "fork",
         "answer": "ABC"[i % 3], "category": f"kind {i % 2}",
         **{name: value(i) for name, value in more.items()}}
        for i in range(n)
    ])  # fmt: skip


def write_video(path, frames=40):
    """A video that grows lighter."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for i in range(frames):
            frame = av.VideoFrame(64, 64, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([6 * i]) * plane.buffer_size)
            for packet in stream.encode(frame):
                video.mux(packet)
        for packet in stream.encode():
            video.mux(packet)


def write_all(folder):
    """Write every table; gives (name of the benchmark, path, questions in it)."""
    cases = []

    def add(name, path, n):
        cases.append((name, path, n))

    tsv(folder / "Spatial457.tsv", [
        {"index": i, "image": encoded(i), "question": "How many?", "answer": a, "category": LEVELS[i]}
        for i, a in enumerate(("3", "No", "suv", "Left", "Yes", "red", "0"))
    ])  # fmt: skip
    add("spatial457", folder / "Spatial457.tsv", 7)
    official = folder / "Spatial457"
    files(official, "images/a.png", "images/b.png")
    (official / "questions").mkdir()
    for level, answer in (("L1_single", True), ("L3_2D_spatial", "double bus")):
        rows = [{"image_filename": f"{n}.png", "question": "Q?", "answer": answer, "question_index": 0} for n in "ab"]
        (official / "questions" / f"{level}.json").write_text(json.dumps({"info": {}, "questions": rows}))
    add("spatial457", official / "questions", 4)

    qids = ("00000001", "00000001-flip", "00000001-1", "00000001-flip-1")
    choice_tsv(folder / "3DSRBench.tsv", qid=lambda i: qids[i])
    add("3dsrbench", folder / "3DSRBench.tsv", 4)

    rows = [{"A": "x", "B": "y", "answer": "A", "category": "height", "question": f"Which? {i}",
             "image_path": "whatsup/x.png", "index": i} for i in range(2)]  # fmt: skip
    lines = (",".join(map(str, values)) for values in (rows[0], *(row.values() for row in rows)))
    (folder / "3dsrbench_v1.csv").write_text("\n".join(lines))
    add("3dsrbench", folder / "3dsrbench_v1.csv", 2)

    choice_tsv(folder / "SpatialEval.tsv")
    add("spatialeval", folder / "SpatialEval.tsv", 4)
    text = "Which is left?\nAvailable options:\nA. cup\nB. plate\nC. spoon\nD. fork"
    parquet(folder / "SpatialEval" / "test-00000-of-00001.parquet", [
        {"id": f"{kind}.vqa.{i}", "image": embedded(i), "text": text, "oracle_answer": "plate", "oracle_option": "B"}
        for i, kind in enumerate(("spatialmap", "mazenav", "spatialgrid", "spatialreal"))
    ])  # fmt: skip
    add("spatialeval", folder / "SpatialEval", 4)

    parquet(folder / "QSpatial_plus-00000-of-00001.parquet", [
        {"question": "How wide?", "answer_value": v, "answer_unit": u, "question_type": "width", "image_path": f"{i}.jpg",
         "image": embedded(i)}
        for i, (v, u) in enumerate(((1.5, "meters"), (30.0, "centimeters"), (2.0, "feet")))
    ])  # fmt: skip
    add("qspatial", folder / "QSpatial_plus-*.parquet", 3)
    tsv(folder / "QSpatial_plus.tsv", [
        {"index": i, "image": encoded(i), "question": "How wide?", "answer": repr(a), "question_type": "width"}
        for i, a in enumerate(((1.5, "meters"), (30.0, "cm")))
    ])  # fmt: skip
    add("qspatial", folder / "QSpatial_plus.tsv", 2)

    relations = ("left_of", "right_of", "on", "under")
    names = [f"beer-bottle_{relation}_armchair.jpeg" for relation in relations]
    whatsup = folder / "whatsup"
    files(whatsup, *(f"controlled_images/{name}" for name in names))
    captions = [f"A beer bottle {r.replace('_', ' ')} an armchair" for r in relations]
    (whatsup / "controlled_images_dataset.json").write_text(json.dumps([
        {"image_path": f"data/controlled_images/{name}", "caption_options": captions[i:] + captions[:i]}
        for i, name in enumerate(names)
    ]))  # fmt: skip
    sides = ("left_of", "right_of", "in-front_of", "behind")
    names = [f"mug_{side}_knife.png" for side in sides]
    files(whatsup, *(f"controlled_clevr/{name}" for name in names))
    captions = [f"A mug {side.replace('_', ' ')} a knife" for side in sides]
    (whatsup / "controlled_clevr_dataset.json").write_text(json.dumps([
        {"image_path": f"data/controlled_clevr/{name}", "caption_options": captions[i:] + captions[:i]}
        for i, name in enumerate(names)
    ]))  # fmt: skip
    add("whatsup", whatsup, 8)
    prompt = "<image>\nUSER: Where is the {} in relation to the {}? Answer with left, right, front or behind.\nASSISTANT:"
    (folder / "whatsup_B.jsonl").write_text("".join(
        json.dumps({"id": i, "question": prompt.format("mug", "knife"), "answer": [a], "image_path": "whatsup/x.png"}) + "\n"
        for i, a in enumerate(("Left", "Right", "Front", "Behind"))
    ))  # fmt: skip
    files(whatsup, "x.png")
    add("whatsup", folder / "whatsup_B.jsonl", 4)

    files(folder, "ViewSpatial-Bench/scene0011_00/280.jpg", "ViewSpatial-Bench/val2017/1.jpg")
    (folder / "ViewSpatial-Bench.json").write_text(json.dumps([
        {"question_type": "Camera perspective - Relative Direction", "question": "Where?", "answer": "B. front-up",
         "image_path": [path], "choices": "A. right\nB. front-up\nC. back-left\nD. front"}
        for path in ("ViewSpatial-Bench/scene0011_00/280.jpg", "ViewSpatial-Bench/val2017/1.jpg")
    ]))  # fmt: skip
    add("viewspatial", folder / "ViewSpatial-Bench.json", 2)
    tsv(folder / "ViewSpatialBench.tsv", [
        {"index": 0, "image_path": "['ViewSpatial-Bench/val2017/1.jpg']", "question": "Where?", "answer": "B",
         "question_type": "Camera perspective - Relative Direction", "candidates": "A. right\nB. front-up\nC. left"}
    ])  # fmt: skip
    add("viewspatial", folder / "ViewSpatialBench.tsv", 1)

    tasks = ("object_counting", "object_rel_direction_easy", "object_rel_direction_hard", "route_planning")
    golds = ("4", "A", "B", "C")
    ours = [{"mp4_path": "arkitscenes/1.mp4", "question_type": t, "question": "Q?", "answer": g,
             **{k: None if t == tasks[0] else f"{k}. {w}" for k, w in zip("ABCD", COLOURS, strict=True)}}
            for t, g in zip(tasks, golds, strict=True)]  # fmt: skip
    (folder / "vsi_bench.json").write_text(json.dumps(ours))
    add("vsi-bench", folder / "vsi_bench.json", 4)
    (folder / "VSI-Bench").mkdir()
    (folder / "VSI-Bench" / "test.jsonl").write_text("".join(
        json.dumps({"id": i, "dataset": "arkitscenes", "scene_name": "1", "question_type": t, "question": "Q?",
                    "options": None if t == tasks[0] else ["A. a", "B. b", "C. c"], "ground_truth": g}) + "\n"
        for i, (t, g) in enumerate(zip(tasks, golds, strict=True))
    ))  # fmt: skip
    add("vsi-bench", folder / "VSI-Bench", 4)
    listed = [{"index": i, "video": "arkitscenes/1.mp4", "question_type": t, "question": "Q?", "answer": g,
               "candidates": "" if t == tasks[0] else "['A. a', 'B. b', 'C. c']"}
              for i, (t, g) in enumerate(zip(tasks, golds, strict=True))]  # fmt: skip
    tsv(folder / "VSI-Bench.tsv", listed)
    add("vsi-bench", folder / "VSI-Bench.tsv", 4)
    rows = [{"id": i, "dataset": "arkitscenes", "scene_name": "1", "question_type": t, "question": "Q?",
             "options": None if t == tasks[0] else ["A. a", "B. b", "C. c"], "ground_truth": g}
            for i, (t, g) in enumerate(zip(tasks, golds, strict=True))]  # fmt: skip
    parquet(folder / "vsi-test.parquet", rows)
    add("vsi-bench", folder / "vsi-test.parquet", 4)

    rotations = [{"index": i + turn * 1_000_000, "image": encoded(i) if turn == 0 else str(i), "question": "Which?",
                  "A": "cup", "B": "plate", "answer": "AB"[turn], "category": "c", "l2-category": "relation_reasoning"}
                 for turn in (0, 1) for i in (0, 1)]  # fmt: skip
    tsv(folder / "MMBench_TEST_EN_V11.tsv", rotations)
    add("mmbench", folder / "MMBench_TEST_EN_V11.tsv", 4)

    choice_tsv(folder / "BLINK.tsv", image=lambda i: str([encoded(i), encoded(i + 1)]))
    add("blink", folder / "BLINK.tsv", 4)
    parquet(folder / "BLINK" / "Relative_Depth" / "val-00000-of-00001.parquet", [
        {"idx": f"val_Relative_Depth_{i}", "sub_task": "Relative_Depth", "question": "Which point is closer?",
         "answer": "(B)", "choices": ["A is closer", "B is closer"], "image_1": embedded(i), "image_2": None}
        for i in range(3)
    ])  # fmt: skip
    add("blink", folder / "BLINK", 3)

    sets = [("VS", "chart", "0", "1"), ("VS", "chart", "1", "0"), ("VD", "ocr", "0", "1"), ("VS", "ocr", "0", "0")]
    (folder / "HallusionBench.json").write_text(json.dumps([
        {"category": c, "subcategory": s, "visual_input": "1", "set_id": "0", "figure_id": f, "question_id": "0",
         "question": "Is it?", "gt_answer": a, "filename": "./whatsup/x.png" if i else None}
        for i, (c, s, f, a) in enumerate(sets)
    ]))  # fmt: skip
    add("hallusionbench", folder / "HallusionBench.json", 4)
    tsv(folder / "HallusionBench.tsv", [
        {"index": f"hallusionbench_{c}_{s}_0_{f}_0", "image": encoded(i), "question": "Is it?",
         "answer": ["No", "Yes"][int(a)], "category": c, "l2-category": s} for i, (c, s, f, a) in enumerate(sets)
    ])  # fmt: skip
    add("hallusionbench", folder / "HallusionBench.tsv", 4)

    choice_tsv(folder / "RealWorldQA.tsv")
    add("realworldqa", folder / "RealWorldQA.tsv", 4)
    brief = "\nPlease answer directly with a single word or number."
    how = "\nPlease answer directly with only the letter of the correct option and nothing else."
    parquet(folder / "RealWorldQA" / "test-00000-of-00001.parquet", [
        {"image": embedded(0), "question": f"Where?\n\nA. left\nB. right{how}", "answer": "B"},
        {"image": embedded(1), "question": f"Is it red?{brief}", "answer": "Yes"},
        {"image": embedded(2), "question": f"How many?{brief}", "answer": "3"},
    ])  # fmt: skip
    add("realworldqa", folder / "RealWorldQA", 3)

    formula = "Handwritten Mathematical Expression Recognition"
    (folder / "OCRBench.json").write_text(json.dumps([
        {"dataset_name": "IIIT5K", "id": 1, "image_path": "whatsup/x.png", "question": "what?", "answers": "CENTRE",
         "type": "Regular Text Recognition"},
        {"dataset_name": "HME100k", "id": 1, "image_path": "whatsup/x.png", "question": "what?",
         "answers": ["y _ { 2 } = - 1\n", "y_2 = - 1\n"], "type": formula},
    ]))  # fmt: skip
    add("ocrbench", folder / "OCRBench.json", 2)
    tsv(
        folder / "OCRBench.tsv",
        [{"index": 1, "image": encoded(), "question": "what?", "answer": "['A', 'B']", "category": formula}],
    )
    add("ocrbench", folder / "OCRBench.tsv", 1)

    tsv(folder / "ChartQA_TEST.tsv", [
        {"index": i, "image": encoded(i), "question": "How much?", "answer": a, "split": f"test_{s}"}
        for i, (a, s) in enumerate((("14", "human"), ("Yes", "human"), ("0.57", "augmented"), ("45%", "augmented")))
    ])  # fmt: skip
    add("chartqa", folder / "ChartQA_TEST.tsv", 4)
    chartqa = folder / "ChartQA"
    files(chartqa, "png/1.png")
    for half in ("human", "augmented"):
        (chartqa / f"test_{half}.json").write_text(json.dumps([{"imgname": "1.png", "query": "How much?", "label": "14"}]))
    add("chartqa", chartqa, 2)
    parquet(folder / "chartqa.parquet", [
        {"image": embedded(0), "query": "How much?", "label": ["14"], "human_or_machine": 0},
        {"image": embedded(1), "query": "How many?", "label": ["3"], "human_or_machine": 1},
    ])  # fmt: skip
    add("chartqa", folder / "chartqa.parquet", 2)

    choice_tsv(folder / "SEEDBench2_Plus.tsv")
    add("seedbench2plus", folder / "SEEDBench2_Plus.tsv", 4)
    files(folder, "Charts/1.png")
    (folder / "SEED-Bench-2-plus-final.json").write_text(json.dumps({"question_type": {}, "questions": [
        {"answer": "D", **{f"choice_{k}": c for k, c in zip("abcd", COLOURS, strict=True)}, "data_id": "Charts/1.png",
         "question": "Which?", "question_id": "chart_1"}
    ]}))  # fmt: skip
    add("seedbench2plus", folder / "SEED-Bench-2-plus-final.json", 1)
    return cases
