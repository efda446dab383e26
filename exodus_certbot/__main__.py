"""Let `python -m exodus_certbot` be the command."""

import sys

from exodus_certbot.cli.main import main

sys.exit(main())
