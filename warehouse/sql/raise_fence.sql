UPDATE writer_fence SET token = $token, raised_at = $raised_at
