"""Fetches the pages of a web site one after the other, then with a pool of threads, and checks that it got the same.

The site is a server of this program's own on 127.0.0.1, which takes a while for each page, as a distant one would.

    python fetch_pages.py [PAGES [THREADS]]
"""

import hashlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

DELAY = 0.02

# Whatever proxy this machine uses for the web, 127.0.0.1 is not behind it.
open_url = build_opener(ProxyHandler({})).open


class Site(ThreadingHTTPServer):
    """The server; its queue of new connections is long enough for all threads to call at once."""

    request_queue_size = 128
    daemon_threads = True


class Page(BaseHTTPRequestHandler):
    """Answers /N with page N; page numbers that end in 9 do not exist."""

    def do_GET(self) -> None:
        time.sleep(DELAY)
        number = int(self.path[1:])
        if number % 10 == 9:
            self.send_error(404)
            return
        body = f"This is page {number}.\n".encode() * (1 + number * 37 % 500)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def fetch(url: str) -> bytes:
    with open_url(url, timeout=30) as response:
        return response.read()


def fetch_serially(urls: list[str]) -> dict[str, bytes | None]:
    pages: dict[str, bytes | None] = {}
    for url in urls:
        try:
            pages[url] = fetch(url)
        except HTTPError:
            pages[url] = None
    return pages


def fetch_with_threads(urls: list[str], threads: int) -> dict[str, bytes | None]:
    pages: dict[str, bytes | None] = {}
    with ThreadPoolExecutor(max_workers=threads) as executor:
        futures = {executor.submit(fetch, url): url for url in urls}
        for future in as_completed(futures):
            try:
                pages[futures[future]] = future.result()
            except HTTPError:
                pages[futures[future]] = None
    return pages


def report(how: str, urls: list[str], pages: dict[str, bytes | None], seconds: float) -> None:
    # In the order of the addresses, not of arrival, so that the same pages give the same sum.
    found = [page for page in map(pages.get, urls) if page is not None]
    checksum = hashlib.sha256(b"".join(found)).hexdigest()[:16]
    print(f"{how}: {len(found)} pages, {len(pages) - len(found)} missing, {sum(map(len, found))} bytes, {checksum}")
    print(f"time: {seconds:.2f} seconds")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    with Site(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls = [f"http://127.0.0.1:{server.server_port}/{number}" for number in range(count)]

        start = time.perf_counter()
        serial = fetch_serially(urls)
        report("serial", urls, serial, time.perf_counter() - start)

        start = time.perf_counter()
        threaded = fetch_with_threads(urls, threads)
        report(f"{threads} threads", urls, threaded, time.perf_counter() - start)

        server.shutdown()
    print("the same pages" if threaded == serial else "DIFFERENT PAGES")
    sys.exit(threaded != serial)


if __name__ == "__main__":
    main()
