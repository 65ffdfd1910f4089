"""Attacks on the HTTP port reach it: their requests are well-formed, and what ends them is what they are about."""

from __future__ import annotations

import grpc

from benchmarks.attacks.callers import Account, HostileCaller, Images
from benchmarks.attacks.http_attacks import flood_http_downloads, flood_http_uploads
from sixpoint.client._operations.upload import upload_messages
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from tests.support.images import noisy_volume
from tests.support.ports import free_port
from tests.support.servers import running_gateway


async def test_floods_over_http_send_images_and_read_them() -> None:
    volume, account = noisy_volume((64, 64, 32)), Account()
    with (
        running_gateway(ready=False, triton_url=f"127.0.0.1:{free_port()}", http_port=0) as gateway,
        grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel,
    ):
        image_grpc.ImageServiceStub(channel).UploadImage(upload_messages(volume, volume.digest, progress=None))
        server, http = (f"127.0.0.1:{port}" for port in (gateway.port, gateway.http_ports["http"]))
        images = Images("", volume.digest)
        async with HostileCaller(server, http=http, number=0, callers=1, images=images, account=account) as caller:
            await flood_http_uploads(caller)
            # Its bytes are those announced, but their digest is another.
            assert account.codes == {"HTTP 400": 1}
            assert account.request_bytes == 16 * 2**20
            await flood_http_downloads(caller)
    assert account.codes == {"HTTP 400": 1, "HTTP 200": 1}
