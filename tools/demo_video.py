#!/usr/bin/env python
"""Segment and track the objects of a video: tools/demo_video.py INPUT [--out x.mp4] [--json x.jsonl] ..."""

import sys

from vos_occ.inference.demo import main

if __name__ == "__main__":
    sys.exit(main())
