"""A person's browser: Chromium, without a screen."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService


@contextmanager
def browser(profile: Path, language: str = "en") -> Iterator[Chrome]:
    """Run a browser of somebody with this language for the time of a block; what it keeps is in `profile`."""
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    arguments = ["--headless=new", f"--user-data-dir={profile}", "--disable-gpu", "--disable-dev-shm-usage"]
    for argument in [*arguments, "--no-sandbox"]:  # root, and most containers, cannot have one; the pages are ours
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"intl.accept_languages": language})
    driver = Chrome(options, ChromeService("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()
