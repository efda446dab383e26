"""Let `python -m exodus_storage_guard` be the command."""

import sys

from exodus_storage_guard.cli.main import main

sys.exit(main())
