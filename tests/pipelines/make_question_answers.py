"""Write question_answers.json: what the question answering pipeline of transformers 4 said, the last to have one.

    python make_question_answers.py FOLDER          in an environment with transformers 4.57.1 and torch

FOLDER is a `BertForQuestionAnswering` that the fixture `folder_of` made.  The contexts fit into one window.
"""

import json
import sys
from pathlib import Path

QUESTIONS = ["who?", "that is the question", "to be or not [MASK]"]
CONTEXTS = [
    "To be, or not to be, that is the question.",
    "Is bee bot a quiz? no!",
    "the tea über (fee-fi) 你好 bee bees",
    "To be to be to be question question to be",
    "be",
]
SETTINGS = [
    {},
    {"top_k": 3},
    {"top_k": 5, "align_to_words": False},
    {"top_k": 3, "handle_impossible_answer": True},
    {"max_answer_len": 2},
]


def main() -> None:
    import transformers

    answer = transformers.pipeline("question-answering", sys.argv[1])
    cases = [
        {
            **settings,
            "question": question,
            "context": context,
            "found": answer(question=question, context=context, **settings),
        }
        for question in QUESTIONS
        for context in CONTEXTS
        for settings in SETTINGS
    ]
    lines = [json.dumps({"transformers": transformers.__version__}), *(json.dumps(case) for case in cases)]
    text = "[" + ",\n".join(lines) + "]\n"
    Path(__file__).with_name("question_answers.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
