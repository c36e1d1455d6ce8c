"""The generator writes what the public code reads: names, shapes and tokenizer as in the reference cases."""

import filecmp
import io
import json
import os
import shutil
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

DATA = os.environ["LATENTCAST_TEST_DATA"]
sys.path.insert(0, os.path.join(DATA, "..", "..", "tools", "make_checkpoint"))

import importlib.util

_path = os.path.join(sys.path[0], "__main__.py")
_spec = importlib.util.spec_from_file_location("make_checkpoint", _path)
generator = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generator)
import files


def all_files(folder):
    return sorted(os.path.relpath(os.path.join(root, f), folder) for root, _, names in os.walk(folder) for f in names)


class MakeCheckpoint(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def make(self, name):
        target = os.path.join(self.folder, name)
        with redirect_stdout(io.StringIO()):
            generator.make(os.path.join(DATA, "tiny", "checkpoint.json"), target)
        return target

    def test_public_layout(self):
        for case in ("landscape", "portrait", "duo"):
            with self.subTest(case):
                self.assertEqual([], list(generator.differences(os.path.join(DATA, "cases", case, "checkpoint"))))

    def test_same_recipe_same_bytes(self):
        first, second = self.make("a"), self.make("b")
        names = all_files(first)
        self.assertEqual(names, all_files(second))
        self.assertEqual((names, [], []), filecmp.cmpfiles(first, second, names, shallow=False))

    def test_committed_tiny_case_is_of_its_recipe(self):
        committed = os.path.join(DATA, "tiny", "checkpoint")
        made = self.make("a")
        self.assertEqual(all_files(committed), all_files(made))
        self.assertEqual(files.read_shapes(committed), files.read_shapes(made))
        self.assertEqual([], list(generator.differences(committed)))

    def test_damage_is_named(self):
        made = self.make("a")
        lora = os.path.join(made, files.LORA_FILE)
        with open(lora, "rb") as f:
            data = f.read()
        with open(lora, "wb") as f:
            f.write(data.replace(b"blocks.1.ffn.2.lora_B", b"blocks.1.ffn.3.lora_B"))
        words = os.path.join(made, files.TOKENIZER_FOLDER, "tokenizer.json")
        with open(words, encoding="utf-8") as f:
            tokenizer = json.load(f)
        tokenizer["model"]["byte_fallback"] = True
        files.write_json(words, tokenizer)
        self.assertEqual(["lora: blocks.1.ffn.2.lora_B.default.weight: expected (24, 2), found nothing",
                          "lora: blocks.1.ffn.3.lora_B.default.weight: expected nothing, found (24, 2)",
                          "tokenizer.json: 'model' does not follow from spiece.model"],
                         list(generator.differences(made)))


if __name__ == "__main__":
    unittest.main()
